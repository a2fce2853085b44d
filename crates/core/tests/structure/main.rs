//! The files of a crate import each other in one direction, and so do its folders.
//!
//! A file imports what its paths `crate::…` and `super::…` name, outside its unit tests. What `mod.rs` hands on of its folder counts
//! as an import of the folder's files, so these name each other directly.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// The modules that each module imports.
type Imports = BTreeMap<Vec<String>, BTreeSet<Vec<String>>>;

/// The files of a folder and of those in it.
fn sources(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).expect("the sources lie here").map(|entry| entry.expect("readable").path());
    entries.flat_map(|path| if path.is_dir() { sources(&path) } else { vec![path] }).collect()
}

/// The path of a file as a module; the root is empty.
fn module_of(file: &Path, src: &Path) -> Vec<String> {
    let inside = file.strip_prefix(src).expect("a file of the crate").with_extension("");
    let names = inside.iter().map(|name| name.to_string_lossy().into_owned());
    names.filter(|name| name != "mod" && name != "lib").collect()
}

/// The code without comments, and without the unit tests at its end.
fn code_of(text: &str) -> String {
    let code = text.split("#[cfg(test)]\nmod tests").next().unwrap_or_default();
    code.lines().map(|line| line.split("//").next().unwrap_or_default()).collect::<Vec<_>>().join("\n")
}

/// The paths that a tree of imports such as `a::{b, c::d}` names.
fn paths(tree: &str) -> Vec<Vec<String>> {
    let tree = tree.trim();
    let Some((prefix, group)) = tree.split_once('{') else {
        return vec![tree.split("::").map(|name| name.trim().to_owned()).collect()];
    };
    let prefix: Vec<String> =
        prefix.split("::").map(str::trim).filter(|name| !name.is_empty()).map(str::to_owned).collect();
    let group = group.strip_suffix('}').expect("a group ends where it says");
    let mut depth = 0;
    let members = group.split(|letter| {
        depth += i32::from(letter == '{') - i32::from(letter == '}');
        letter == ',' && depth == 0
    });
    let members = members.filter(|member| !member.trim().is_empty()).flat_map(paths);
    members.map(|path| prefix.iter().cloned().chain(path).collect()).collect()
}

/// The trees of imports, and all other paths, that begin with `start`.
fn trees<'a>(code: &'a str, start: &str) -> Vec<&'a str> {
    let after = code.match_indices(start).map(|(at, _)| &code[at + start.len()..]);
    let end = |tree: &str| {
        let mut depth = 0;
        tree.find(|letter: char| {
            let is_inside = depth > 0;
            depth += i32::from(letter == '{') - i32::from(letter == '}');
            let is_of_path = letter.is_alphanumeric() || letter == '_' || letter == ':' || letter == '{' || is_inside;
            !is_of_path
        })
    };
    after.map(|tree| &tree[..end(tree).unwrap_or(tree.len())]).collect()
}

fn imports_of(src: &Path) -> Imports {
    let files = sources(src);
    let modules: BTreeSet<_> =
        files.iter().map(|file| module_of(file, src)).filter(|module| !module.is_empty()).collect();
    // The file that a path leads to: as much of it as is a module.
    let deepest =
        |path: &[String]| (1..=path.len()).rev().map(|n| path[..n].to_vec()).find(|path| modules.contains(path));
    let mut imports = Imports::new();
    for file in &files {
        let (module, is_folder) = (module_of(file, src), file.ends_with("mod.rs"));
        if module.is_empty() {
            continue;
        }
        let code = code_of(&fs::read_to_string(file).expect("text"));
        let parent = if is_folder { &module[..] } else { &module[..module.len() - 1] };
        let of_crate = trees(&code, "crate::").into_iter().flat_map(paths);
        let of_parent = trees(&code, "super::").into_iter().flat_map(paths).map(|path| [parent, &path].concat());
        let own =
            code.lines().filter_map(|line| line.trim().strip_suffix(';')?.split_once("mod ").map(|(_, name)| name));
        let own = own.map(|name| [&module[..], &[name.to_owned()]].concat());
        let named = of_crate.chain(of_parent).chain(own);
        let imported = named.filter_map(|path| deepest(&path)).filter(|imported| *imported != module);
        imports.insert(module.clone(), imported.collect());
    }
    imports
}

/// The same between the folders, and files, that lie in `src` itself.
fn of_folders(imports: &Imports) -> Imports {
    let mut folders = Imports::new();
    for (module, imported) in imports {
        let outside =
            imported.iter().filter(|imported| imported[0] != module[0]).map(|imported| imported[..1].to_vec());
        folders.entry(module[..1].to_vec()).or_default().extend(outside);
    }
    folders
}

/// What is left when modules that import nothing that is left are taken away, one after the other: the circles, and what needs them.
fn circles(mut imports: Imports) -> Vec<String> {
    loop {
        let left: BTreeSet<_> = imports.keys().cloned().collect();
        let before = imports.len();
        imports.retain(|_, imported| imported.iter().any(|module| left.contains(module)));
        if imports.len() == before {
            return imports.keys().map(|module| module.join("::")).collect();
        }
    }
}

/// Fails with the files and folders of a crate that import each other in circles.
fn expect_no_circles(name: &str) {
    let imports = imports_of(&Path::new(env!("CARGO_MANIFEST_DIR")).with_file_name(name).join("src"));
    assert!(imports.values().flatten().count() > imports.len(), "imports were found");
    let in_circles = [circles(of_folders(&imports)), circles(imports)];
    assert_eq!(in_circles, [const { Vec::<String>::new() }; 2], "folders, then files");
}

#[test]
fn the_files_of_core_import_each_other_in_one_direction() {
    expect_no_circles("core");
}

#[test]
fn the_files_of_gpu_import_each_other_in_one_direction() {
    expect_no_circles("gpu");
}

#[test]
fn a_circle_is_found() {
    let module = |name: &str| vec![name.to_owned()];
    let imports = |pairs: &[(&str, &[&str])]| -> Imports {
        pairs
            .iter()
            .map(|(name, imported)| (module(name), imported.iter().map(|name| module(name)).collect()))
            .collect()
    };
    assert!(circles(imports(&[("a", &["b", "c"]), ("b", &["c"]), ("c", &[])])).is_empty());
    assert_eq!(circles(imports(&[("a", &["b"]), ("b", &["c"]), ("c", &["b"]), ("d", &[])])), ["a", "b", "c"]);
}

#[test]
fn all_paths_of_an_import_are_seen() {
    let code = "use crate::a::{b, c::{D, e}};\nlet x = crate::f::G::new();";
    let seen: Vec<_> = trees(code, "crate::").into_iter().flat_map(paths).map(|path| path.join("::")).collect();
    assert_eq!(seen, ["a::b", "a::c::D", "a::c::e", "f::G::new"]);
}
