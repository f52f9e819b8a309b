//! `muster snapshot`, and `kubectl muster snapshot`: what the scheduler knows, in one file.

use super::flags::{ConnectArgs, DirectArgs};
use super::{Failure, ask};
use crate::version::VERSION;
use crate::{WrongUsage, text};
use anyhow::{Context as _, anyhow};
use muster_api::decode_for;
use muster_api::paths::list_path;
use muster_api::snapshot::{self, Header, Source, Writer};
use muster_framework::record::Kind;
use muster_kube::{Reader, minor_of};
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

/// Where Muster's leader answers.
pub(crate) const PATH: &str = "/debug/snapshot";

/// Write what the scheduler knows into one compressed file: objects, queue, places that are held, configuration
///
/// Secrets, environments, commands and annotations of objects are not in it: it holds what scheduling reads. The file is for
/// muster simulate and kubectl muster explain with --from-snapshot, and for reports of defects; names, labels and images are
/// in it.
///
/// From the scheduler that leads (--server-url) it takes the right to list pods in all namespaces. From the API server alone
/// (--from-api) it takes the right to list everything that Muster lists, and there is no queue in it.
#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    /// The file to write; - is the standard output
    #[arg(value_name = "FILE", default_value = "muster-snapshot.gz")]
    output: PathBuf,

    /// Read the API server alone, and ask no scheduler
    #[arg(long, conflicts_with = "server_url")]
    from_api: bool,

    #[command(flatten)]
    direct: DirectArgs,
}

/// Runs the command.
///
/// # Errors
/// Nobody is named to be asked, the server cannot be, or the file cannot be written. No half of a file is left behind.
pub(crate) async fn run(args: &Args, connect: &ConnectArgs) -> Result<(), Failure> {
    if args.direct.server_url.is_none() && !args.from_api {
        let missing = "--server-url URL is missing, or --from-api for a snapshot without the queue";
        return Err(Failure::Other(WrongUsage(anyhow!(missing)).into()));
    }
    let counts = if args.output == Path::new("-") {
        take(args, connect, std::io::stdout().lock()).await?
    } else {
        let part = PathBuf::from(format!("{}.part", args.output.display()));
        let taken = to_file(args, connect, &part).await;
        if taken.is_err() {
            // Whether it was ever made does not matter.
            let _ = std::fs::remove_file(&part);
        }
        let counts = taken?;
        std::fs::rename(&part, &args.output)
            .with_context(|| format!("{} cannot be written", args.output.display()))
            .map_err(Failure::Other)?;
        counts
    };
    text::tell(&format!("{counts}\n"));
    Ok(())
}

async fn to_file(args: &Args, connect: &ConnectArgs, path: &Path) -> Result<String, Failure> {
    let mut options = File::options();
    options.write(true).create(true).truncate(true);
    // What a cluster runs is not everybody's business.
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let file = options
        .open(path)
        .with_context(|| format!("{} cannot be made", path.display()));
    let file = file.map_err(|error| Failure::Other(WrongUsage(error).into()))?;
    take(args, connect, BufWriter::new(file)).await
}

/// Takes it; says what is in it.
async fn take(args: &Args, connect: &ConnectArgs, out: impl Write) -> Result<String, Failure> {
    let reader = ask::reader(&args.direct, connect.options()).await?;
    if args.from_api {
        from_api(&reader, out).await
    } else {
        from_scheduler(&reader, out).await
    }
}

async fn from_scheduler(reader: &Reader, mut out: impl Write) -> Result<String, Failure> {
    let bytes = reader.get(PATH).await?;
    // Nobody should find out only later that something else answered.
    let read = snapshot::read(&*bytes).map_err(|error| Failure::Other(anyhow!("what came is no snapshot: {error}")))?;
    let written = out.write_all(&bytes).and_then(|()| out.flush());
    written
        .context("the snapshot cannot be written")
        .map_err(Failure::Other)?;
    Ok(format!(
        "{} objects, {} in the queue, {} places held",
        read.objects.len(),
        read.queue.len(),
        read.reservations.len()
    ))
}

async fn from_api(reader: &Reader, out: impl Write) -> Result<String, Failure> {
    let minor = minor_of(&reader.get("/version").await?);
    // Asked first, because the first line says so; an empty page costs little.
    let mut served = Vec::new();
    let mut not_served = Vec::new();
    for kind in Kind::ALL {
        match reader.get(&format!("{}?limit=1", list_path(kind))).await {
            Ok(_) => served.push(kind),
            Err(error) if error.is_not_found() => not_served.push(kind),
            Err(error) => return Err(error.into()),
        }
    }
    let header = Header {
        taken_at: jiff::Timestamp::now(),
        version: VERSION.to_owned(),
        kubernetes: minor,
        source: Source::Api,
        configuration: None,
        not_served,
    };
    let unwritten = |error: std::io::Error| Failure::Other(anyhow!(error).context("the snapshot cannot be written"));
    let mut writer = Writer::begin(out, &header).map_err(unwritten)?;
    let (mut objects, mut failed) = (0_u64, None);
    for kind in served {
        let each = |item: &[u8]| match decode_for(minor, kind, item) {
            // Muster itself overlooks what it cannot read, and says so.
            Err(error) => text::tell(&format!("warning: left out: {error}\n")),
            Ok(object) => match writer.object(&object) {
                Ok(()) => objects += 1,
                Err(error) => failed = Some(error),
            },
        };
        reader.list(list_path(kind), each).await?;
        if let Some(error) = failed.take() {
            return Err(unwritten(error));
        }
    }
    writer.finish().and_then(|mut out| out.flush()).map_err(unwritten)?;
    Ok(format!("{objects} objects"))
}
