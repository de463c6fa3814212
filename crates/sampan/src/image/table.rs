//! The list of images, as `crictl images` prints it.

use std::fmt::Write as _;

use sampan_node::image::Image;

/// One line a name; images without names too.
pub(super) fn render(images: &[Image]) -> String {
    let mut rows = vec![["IMAGE", "TAG", "IMAGE ID", "SIZE"].map(str::to_owned)];
    let mut lines: Vec<[String; 4]> = images.iter().flat_map(lines).collect();
    lines.sort();
    rows.extend(lines);
    let width = |column: usize| rows.iter().map(|row| row[column].len()).max().unwrap_or_default() + 3;
    let widths = [width(0), width(1), width(2)];
    let mut text = String::new();
    for [image, tag, id, size] in rows {
        let [a, b, c] = widths;
        writeln!(text, "{image:<a$}{tag:<b$}{id:<c$}{size}").expect("a string takes all that is written");
    }
    text
}

fn lines(image: &Image) -> Vec<[String; 4]> {
    let id: String = image.id.trim_start_matches("sha256:").chars().take(13).collect();
    let line = |name: &str, tag: &str| [name.to_owned(), tag.to_owned(), id.clone(), size(image.size_bytes)];
    if image.tags.is_empty() {
        let name = image.digests.first().and_then(|digest| digest.split('@').next()).unwrap_or("<none>");
        return vec![line(name, "<none>")];
    }
    let tag =
        |text: &String| text.rsplit_once(':').map_or_else(|| line(text, ""), |(name, tag)| line(name, tag));
    image.tags.iter().map(tag).collect()
}

/// Three digits and a unit: `4.26MB`.
#[allow(clippy::cast_precision_loss, reason = "three digits are shown")]
fn size(bytes: u64) -> String {
    let mut value = bytes as f64;
    let mut units = ["B", "kB", "MB", "GB", "TB", "PB"].into_iter();
    let mut unit = units.next().unwrap_or_default();
    while value >= 1000.0 {
        let Some(next) = units.next() else { break };
        (value, unit) = (value / 1000.0, next);
    }
    let digits = if unit == "B" || value >= 100.0 { 0 } else { 2 - usize::from(value >= 10.0) };
    format!("{value:.digits$}{unit}")
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use super::*;

    #[test]
    fn sizes_have_three_digits() {
        for (bytes, want) in
            [(0, "0B"), (999, "999B"), (4_261_574, "4.26MB"), (42_610_000, "42.6MB"), (426_100_000, "426MB")]
        {
            assert_eq!(size(bytes), want);
        }
    }

    #[test]
    fn each_name_has_a_line_and_an_image_without_names_too() {
        let image = |id: &str, tags: &[&str], digests: &[&str]| Image {
            id: format!("sha256:{id:0<64}"),
            tags: tags.iter().map(|t| (*t).to_owned()).collect(),
            digests: digests.iter().map(|t| (*t).to_owned()).collect(),
            size_bytes: 1500,
            defaults: sampan_node::image::Defaults::default(),
            last_used: SystemTime::UNIX_EPOCH,
        };
        let images = [
            image("b", &["docker.io/library/b:1", "localhost:5000/b:2"], &[]),
            image("a", &[], &["docker.io/library/a@sha256:x"]),
            image("c", &[], &[]),
        ];
        let want = "\
IMAGE                 TAG      IMAGE ID        SIZE
<none>                <none>   c000000000000   1.50kB
docker.io/library/a   <none>   a000000000000   1.50kB
docker.io/library/b   1        b000000000000   1.50kB
localhost:5000/b      2        b000000000000   1.50kB
";
        assert_eq!(render(&images), want);
        assert_eq!(render(&[]), "IMAGE   TAG   IMAGE ID   SIZE\n");
    }
}
