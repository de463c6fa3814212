//! What a worker remembers and tells of a change of its pod's resources.

use super::Worker;
use crate::pods::memory::Progress;
use crate::pods::parts::Kind;
use crate::pods::plan::resize::Resizing;
use crate::pods::resize;

impl Worker {
    /// Draws from a plan how far a change is.
    pub(super) fn note_resizing(&mut self, resizing: Resizing) {
        let progress = &mut self.memory.resize.progress;
        match resizing {
            Resizing::Unknown => {}
            // An earlier agent accepted it, and came no further.
            Resizing::UnderWay => {
                progress.get_or_insert(Progress { generation: self.accepted, error: None });
            }
            Resizing::Done => {
                if let Some(Progress { generation, .. }) = progress.take() {
                    let message = resize::completed(&self.pod, generation);
                    self.parts.reporter.event(&self.pod, None, Kind::Normal, "ResizeCompleted", &message);
                }
            }
        }
    }

    /// It did not go, and is tried again later.
    pub(super) fn resize_failed(&mut self, error: String) {
        let Some(progress) = &mut self.memory.resize.progress else { return };
        if progress.error.as_ref() == Some(&error) {
            return;
        }
        let message = resize::failed(&self.pod, progress.generation, &error);
        progress.error = Some(error);
        self.parts.reporter.event(&self.pod, None, Kind::Warning, "ResizeError", &message);
    }
}
