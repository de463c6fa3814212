//! Progress bars, one a layer, on standard error. Where that is no terminal there are none.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use parking_lot::Mutex;
use sampan_node::image::digest::Digest;
use sampan_node::image::progress::{Event, Observer};

const COMING: &str =
    "{prefix}  {bar:30}  {binary_bytes:>10}/{binary_total_bytes:<10}  {binary_bytes_per_sec}  {msg}";
const DONE: &str = "{prefix}  {msg}";

/// The bars of one pull or load.
#[derive(Clone, Default)]
pub(super) struct Bars {
    all: MultiProgress,
    layers: Arc<Mutex<HashMap<Digest, ProgressBar>>>,
}

impl Bars {
    pub(super) fn new() -> Self {
        Self::default()
    }

    /// Draws what it is told.
    pub(super) fn observer(&self) -> Observer {
        let bars = self.clone();
        Arc::new(move |event| bars.draw(event))
    }

    /// Leaves the bars as they are.
    pub(super) fn finish(&self) {
        self.layers.lock().values().for_each(ProgressBar::abandon);
    }

    fn draw(&self, event: &Event) {
        let mut layers = self.layers.lock();
        let done = |layer: &Digest, message: &'static str| {
            if let Some(bar) = layers.get(layer) {
                bar.set_style(style(DONE));
                bar.finish_with_message(message);
            }
        };
        match event {
            Event::Resolved { name, layers: list } => {
                // Where there is no terminal nothing is drawn, and the name is said at the end.
                let _ = self.all.println(name);
                for (digest, size) in list {
                    let bar = self.all.add(ProgressBar::new(*size).with_style(style(COMING)));
                    bar.set_prefix(digest.hex()[..12].to_owned());
                    layers.insert(digest.clone(), bar);
                }
            }
            Event::Present(layer) => done(layer, "is here already"),
            Event::Unpacked(layer) => done(layer, "done"),
            Event::Received { layer, bytes } => {
                if let Some(bar) = layers.get(layer) {
                    bar.set_position(*bytes);
                }
            }
            Event::Resumed { layer, bytes } => {
                if let Some(bar) = layers.get(layer) {
                    bar.set_position(*bytes);
                    bar.reset_eta();
                    bar.set_message("resumed");
                }
            }
            Event::Unpacking(layer) => {
                if let Some(bar) = layers.get(layer) {
                    bar.set_message("unpacking");
                    bar.enable_steady_tick(Duration::from_millis(100));
                }
            }
        }
    }
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).expect("the template is good")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_event_can_be_drawn() {
        let bars = Bars {
            all: MultiProgress::with_draw_target(indicatif::ProgressDrawTarget::hidden()),
            ..Bars::new()
        };
        let layer = Digest::of(b"layer");
        let observer = bars.observer();
        observer(&Event::Received { layer: layer.clone(), bytes: 1 });
        observer(&Event::Resolved { name: "x".into(), layers: vec![(layer.clone(), 10)] });
        let bar = bars.layers.lock()[&layer].clone();
        observer(&Event::Received { layer: layer.clone(), bytes: 4 });
        assert_eq!((bar.position(), bar.length()), (4, Some(10)));
        observer(&Event::Resumed { layer: layer.clone(), bytes: 4 });
        observer(&Event::Unpacking(layer.clone()));
        observer(&Event::Unpacked(layer.clone()));
        assert!(bar.is_finished());
        observer(&Event::Present(layer));
        bars.finish();
    }
}
