//! Takes the files of Swagger UI that a page needs out of the archive of their crate, each compressed for the wire.

use std::io::{Cursor, Read as _, Write as _};
use std::path::Path;

use utoipa_swagger_ui_vendored::SWAGGER_UI_VENDORED as ARCHIVE;

const FILES: [&str; 5] = [
    "favicon-32x32.png",
    "index.css",
    "swagger-ui-bundle.js",
    "swagger-ui-standalone-preset.js",
    "swagger-ui.css",
];

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    let out = std::env::var_os("OUT_DIR").expect("cargo names the folder");
    let mut archive = zip::ZipArchive::new(Cursor::new(ARCHIVE)).expect("the archive can be read");
    let names: Vec<String> = archive.file_names().filter_map(Result::ok).map(Into::into).collect();
    for file in FILES {
        let name =
            names.iter().find(|name| name.ends_with(&format!("/dist/{file}")) && !name.contains("/flavors/"));
        let mut content = Vec::new();
        let mut entry =
            archive.by_name(name.expect("the archive has the file")).expect("the file can be read");
        entry.read_to_end(&mut content).expect("the file can be read");
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        encoder.write_all(&content).expect("writing into memory does not fail");
        let compressed = encoder.finish().expect("writing into memory does not fail");
        std::fs::write(Path::new(&out).join(format!("{file}.gz")), compressed)
            .expect("the folder can be written");
    }
}
