//! Secrets in a text: the text comes on stdin, an event per finding goes to stdout. No crate, no SDK.
mod finding;
mod rules;

use std::io::{self, Read, Write};

/// `EX_DATAERR` of sysexits.h: the event is wrong, and no retry will mend it.
const BAD_EVENT: i32 = 65;

fn main() -> io::Result<()> {
    let mut bytes = Vec::new();
    io::stdin().read_to_end(&mut bytes)?;
    let Ok(text) = String::from_utf8(bytes) else {
        eprintln!("the data is no UTF-8 text");
        std::process::exit(BAD_EVENT);
    };
    let mut out = io::stdout().lock();
    for finding in finding::all_in(&text) {
        writeln!(out, "{}", finding.to_event())?;
    }
    Ok(())
}
