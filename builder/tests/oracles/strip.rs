//! What is stripped here runs and links as before, and binutils sees no fault.

use std::fs;
use std::path::Path;
use std::process::Command;

use builder::elf::stripped;
use tree::Content;

use crate::{output, tool};

const LIBRARY: &str = "static int twice(int n) { return 2 * n; }\nint answer(int n) { return twice(n) + 2; }\n";
const PROGRAM: &str =
    "#include <stdio.h>\nint answer(int);\nint main(void) { return printf(\"%d\\n\", answer(20)) != 3; }\n";

fn strip(file: &Path) -> (u64, u64) {
    let content = Content::host(file, fs::metadata(file).unwrap().len());
    let less = stripped(&content).unwrap().unwrap_or_else(|| panic!("{}: nothing to strip", file.display()));
    let lens = (content.len(), less.len() as u64);
    let part = file.with_extension("part");
    fs::write(&part, less).unwrap();
    // Over the old bytes: it stays executable. By another process: what this one has open
    // for writing, a fork of another test may keep open, and Linux executes no such file.
    output(Command::new("cp").args([&part, file]));
    lens
}

/// By binutils, which warns of what does not fit together.
fn read(what: &str, file: &Path) -> String {
    let read = Command::new("readelf").args(["-W", what]).arg(file).env("LC_ALL", "C").output().unwrap();
    assert_eq!(String::from_utf8_lossy(&read.stderr), "", "readelf {what} {}", file.display());
    String::from_utf8(read.stdout).unwrap()
}

#[test]
fn programs_and_libraries_run_as_before_and_are_about_as_small_as_binutils_makes_them() {
    let (Some(cc), Some(musl), Some(_)) = (tool("gcc"), tool("musl-gcc"), tool("strip")) else { return };
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    fs::write(at("answer.c"), LIBRARY).unwrap();
    fs::write(at("main.c"), PROGRAM).unwrap();
    let build = |cc: &Path, arguments: &[&str]| {
        output(Command::new(cc).args(["-g3", "-O1"]).args(arguments).current_dir(dir.path()));
    };
    build(&cc, &["-shared", "-fPIC", "-o", "libanswer.so", "answer.c"]);
    build(&cc, &["-o", "dynamic", "main.c", "libanswer.so", "-Wl,-rpath,$ORIGIN"]);
    build(&cc, &["-no-pie", "-Wl,--emit-relocs", "-o", "fixed", "main.c", "answer.c"]);
    build(&musl, &["-static", "-o", "static", "main.c", "answer.c"]);
    for name in ["libanswer.so", "dynamic", "fixed", "static"] {
        let file = at(name);
        let theirs = at("theirs");
        output(Command::new("strip").arg("-o").args([&theirs, &file]));
        let seen = ["--segments", "--dynamic", "--dyn-syms", "--notes"];
        let before: Vec<String> = seen.iter().map(|what| read(what, &file)).collect();
        let (whole, less) = strip(&file);
        let after: Vec<String> = seen.iter().map(|what| read(what, &file)).collect();
        // Headers of empty sections, and no more: `.comment` is what strip(1) keeps.
        let theirs = fs::metadata(theirs).unwrap().len();
        assert!(less < whole && less <= theirs + 64 * 24, "{name}: {whole} to {less}, by strip(1) {theirs}");
        // The mapping of sections to segments is the same, numbers included.
        assert_eq!(before, after, "{name}");
        let sections = read("--sections", &file);
        assert!(sections.contains(".text") && !sections.contains(".symtab"), "{name}:\n{sections}");
    }
    for name in ["dynamic", "fixed", "static"] {
        assert_eq!(output(&mut Command::new(at(name))), "42\n", "{name}");
    }
}

#[test]
fn an_object_file_links_as_before() {
    let Some(cc) = tool("gcc") else { return };
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    fs::write(at("answer.c"), LIBRARY).unwrap();
    fs::write(at("main.c"), PROGRAM).unwrap();
    for name in ["answer", "main"] {
        let (source, object) = (at(&format!("{name}.c")), at(&format!("{name}.o")));
        output(Command::new(&cc).args(["-g3", "-ffunction-sections", "-c", "-o"]).args([&object, &source]));
        // Section symbols are shown by their sections' names.
        let symbols = || {
            read("--syms", &object)
                .lines()
                .map(|line| line.split(".debug").next().unwrap().trim_end().to_owned())
                .collect::<Vec<_>>()
        };
        let before = symbols();
        let (whole, less) = strip(&object);
        assert!(less * 4 < whole, "{name}.o: {whole} to {less}");
        assert_eq!(symbols(), before, "every symbol is where it was");
    }
    output(Command::new(&cc).arg("-o").args([at("linked"), at("main.o"), at("answer.o")]));
    assert_eq!(output(&mut Command::new(at("linked"))), "42\n");
}
