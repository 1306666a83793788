//! How many appends a second this disk takes, each of them durable: `cargo run --release -p ledger --example ledger_speed [N]`.
//!
//! One entry of some 500 bytes per append, as a trial writes it, in the current folder's file system. The ceiling is the disk's
//! flush: it is measured beside it, as one write of 4 KiB with one flush. Then the whole chain is verified.

use std::error::Error;
use std::fs::File;
use std::io::{Seek as _, SeekFrom, Write as _};
use std::time::Instant;

use ledger::{Draft, Header, Ledger, Reader};
use serde_json::json;

fn main() -> Result<(), Box<dyn Error>> {
    let count: u32 = std::env::args().nth(1).map_or(Ok(2000), |n| n.parse())?;
    let folder = tempfile::tempdir_in(".")?;
    let path = folder.path().join("ledger");

    let mut plain = File::create(folder.path().join("plain"))?;
    let block = [7u8; 4096];
    let began = Instant::now();
    for _ in 0..count {
        plain.seek(SeekFrom::Start(0))?;
        plain.write_all(&block)?;
        plain.sync_data()?;
    }
    let ceiling_per_s = f64::from(count) / began.elapsed().as_secs_f64();

    let header = Header {
        track: "speed".to_owned(),
        substrate: json!({}),
        created_by: "0.1.0".to_owned(),
    };
    let mut ledger = Ledger::create(&path, &header)?;
    let began = Instant::now();
    for n in 0..count {
        ledger.append(&Draft {
            kind: "trial",
            experiment: Some(u64::from(n)),
            epoch: 1,
            judge: "0123456789abcdef",
            worker: "w0",
            body: json!({ "samples": vec![1.25f64; 60], "n": n }),
        })?;
    }
    let appends_per_s = f64::from(count) / began.elapsed().as_secs_f64();
    drop(ledger);

    let began = Instant::now();
    let verified = Reader::open(&path)?.verify()?;
    let verified_per_s = verified.entries as f64 / began.elapsed().as_secs_f64();
    let mut out = std::io::stdout().lock();
    writeln!(
        out,
        "flushed writes of 4 KiB   {ceiling_per_s:8.0} per second"
    )?;
    writeln!(
        out,
        "appends                   {appends_per_s:8.0} per second"
    )?;
    writeln!(
        out,
        "entries verified          {verified_per_s:8.0} per second"
    )?;
    Ok(())
}
