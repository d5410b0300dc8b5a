//! Reads a FileDescriptorSet on stdin and writes the Rust of its messages and services into the folder that its argument names.
use std::io::{Error, Read};

use prost::Message;
use prost_types::FileDescriptorSet;

fn main() -> std::io::Result<()> {
    let folder = std::env::args().nth(1).ok_or_else(|| Error::other("usage: generate <folder>"))?;
    let mut descriptors = Vec::new();
    std::io::stdin().read_to_end(&mut descriptors)?;
    tonic_prost_build::configure()
        .build_client(false)
        .build_transport(false)
        .include_file("mod.rs")
        .out_dir(folder)
        .compile_fds(FileDescriptorSet::decode(descriptors.as_slice())?)
}
