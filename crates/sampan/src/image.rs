//! `sampan image`: works on the store of a node, whether that node runs or not. The store sees to it that both may do so at once.

mod bars;
mod table;

use std::io::{IsTerminal as _, Read as _};

use anyhow::{Context as _, Result, bail, ensure};
use sampan_node::image::store::{ImageStore, Options};
use sampan_node::image::{Credentials, Image, Images as _};

use crate::cli::Place;
use crate::cli::image::{Image as Command, Load, Ls, Pull, Rm};
use crate::data_dir::DataDir;

/// A password is shorter.
const MAX_PASSWORD: u64 = 64 << 10;

/// Does what was asked.
pub(crate) fn run(command: &Command) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().context("cannot start")?;
    runtime.block_on(async {
        match command {
            Command::Load(options) => load(options).await,
            Command::Pull(options) => pull(options).await,
            Command::Ls(options) => list(options).await,
            Command::Rm(options) => remove(options).await,
        }
    })
}

fn open(place: &Place, change: impl FnOnce(&mut Options)) -> Result<ImageStore> {
    let dir = DataDir::of(place)?;
    ensure!(
        rustix::process::geteuid().is_root(),
        "images keep owners and devices, so only root can keep them: run this as root"
    );
    let mut options = Options::new(dir.images());
    change(&mut options);
    Ok(ImageStore::open(options)?)
}

async fn load(options: &Load) -> Result<()> {
    let store = open(&options.place, |_| {})?;
    let bars = bars::Bars::new();
    let outcome = store.load(&options.file, options.name.as_deref(), bars.observer()).await;
    bars.finish();
    outcome?.iter().for_each(say);
    Ok(())
}

async fn pull(options: &Pull) -> Result<()> {
    let credentials = match &options.username {
        Some(user) => vec![Credentials { user: user.clone(), password: password()?, identity_token: None }],
        None => vec![],
    };
    let store = open(&options.place, |store| store.hosts = Some(options.registry_config_dir.clone()))?;
    let bars = bars::Bars::new();
    let outcome = store.pull_observed(&options.reference, &credentials, bars.observer()).await;
    bars.finish();
    say(&outcome?);
    Ok(())
}

fn password() -> Result<String> {
    let stdin = std::io::stdin();
    if stdin.is_terminal() {
        eprintln!("Password (end with Ctrl-D):");
    }
    let mut password = String::new();
    stdin.take(MAX_PASSWORD).read_to_string(&mut password).context("cannot read the password")?;
    Ok(password.trim_end_matches(['\r', '\n']).to_owned())
}

/// One line an image: its names and its id.
fn say(image: &Image) {
    let names = if image.tags.is_empty() { &image.digests } else { &image.tags };
    println!("{} {}", if names.is_empty() { "<none>".to_owned() } else { names.join(" ") }, image.id);
}

async fn list(options: &Ls) -> Result<()> {
    let images = open(&options.place, |_| {})?.list().await?;
    if options.quiet {
        for image in images {
            println!("{}", image.id);
        }
    } else {
        print!("{}", table::render(&images));
    }
    Ok(())
}

async fn remove(options: &Rm) -> Result<()> {
    let store = open(&options.place, |_| {})?;
    for reference in &options.references {
        let images = store.list().await?;
        let name = match by_beginning(reference, &images)? {
            Some(id) => id,
            None => reference.clone(),
        };
        store.remove(&name).await?;
        println!("{reference}");
    }
    Ok(())
}

/// The image whose id begins so, unless it is the whole of an id or no beginning of one.
fn by_beginning(text: &str, images: &[Image]) -> Result<Option<String>> {
    let hex = text.strip_prefix("sha256:").unwrap_or(text);
    if hex.is_empty() || hex.len() >= 64 || !hex.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
    {
        return Ok(None);
    }
    let begins = |image: &&Image| image.id.trim_start_matches("sha256:").starts_with(hex);
    let found: Vec<&Image> = images.iter().filter(begins).collect();
    match found[..] {
        [] => Ok(None),
        [one] => Ok(Some(one.id.clone())),
        _ => bail!("{} images have ids that begin with {text}: name one of them", found.len()),
    }
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use super::*;

    #[test]
    fn an_image_may_be_named_by_the_beginning_of_its_id_if_that_is_clear() {
        let image = |start: &str| Image {
            id: format!("sha256:{start:0<64}"),
            tags: vec![],
            digests: vec![],
            size_bytes: 0,
            defaults: sampan_node::image::Defaults::default(),
            last_used: SystemTime::UNIX_EPOCH,
        };
        let images = [image("abc1"), image("abc2"), image("def")];
        let rows = [
            ("def", Ok(Some(2))),
            ("sha256:abc1", Ok(Some(0))),
            ("abc", Err("2 images have ids that begin with abc: name one of them")),
            ("fade", Ok(None)),
            ("busybox", Ok(None)),
            ("", Ok(None)),
        ];
        for (text, want) in rows {
            let got = by_beginning(text, &images).map_err(|error| error.to_string());
            assert_eq!(
                got,
                want.map(|i| i.map(|i: usize| images[i].id.clone())).map_err(str::to_owned),
                "{text}"
            );
        }
    }
}
