//! Takes comments and indentation out of the shaders before they become part of the program: a page would load them.

use std::path::Path;
use std::{env, fs, io};

fn main() -> io::Result<()> {
    println!("cargo::rerun-if-changed=shaders");
    let out = env::var_os("OUT_DIR").ok_or_else(|| io::Error::other("cargo sets OUT_DIR"))?;
    for entry in fs::read_dir("shaders")? {
        let entry = entry?;
        let stripped = strip(&fs::read_to_string(entry.path())?);
        fs::write(Path::new(&out).join(entry.file_name()), stripped)?;
    }
    Ok(())
}

/// WGSL has no texts, so `//` always begins a comment. The shaders have no other kind.
fn strip(shader: &str) -> String {
    let code = |line: &str| line.split("//").next().unwrap_or_default().trim().to_owned();
    shader.lines().map(code).filter(|line| !line.is_empty()).map(|line| line + "\n").collect()
}
