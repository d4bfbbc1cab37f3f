//! Imports run downward only: docs/architecture.md.

use anyhow::{Context, Result};
use serde_json::Value;

/// Each crate of the workspace, and what it may import of the others.
const MAY_IMPORT: &[(&str, &[&str])] = &[
    ("liveroot-tree", &[]),
    ("liveroot-init", &[]),
    ("liveroot-iso", &["liveroot-tree"]),
    ("liveroot", &["liveroot-iso", "liveroot-tree", "liveroot-init"]),
    ("liveroot-tests", &["liveroot", "liveroot-iso", "liveroot-tree", "liveroot-init"]),
    ("liveroot-benches", &["liveroot", "liveroot-iso", "liveroot-tree", "liveroot-init"]),
    ("liveroot-fuzz", &["liveroot", "liveroot-iso", "liveroot-tree", "liveroot-init"]),
    ("xtask", &[]),
];

pub(super) fn check(metadata: &Value) -> Result<Vec<String>> {
    let packages = metadata["packages"].as_array().context("cargo metadata has no packages")?;
    let mut faults = Vec::new();
    for package in packages {
        let name = package["name"].as_str().context("a package has no name")?;
        let Some((_, allowed)) = MAY_IMPORT.iter().find(|(crate_name, _)| *crate_name == name) else {
            faults.push(format!("crate {name}: xtask/src/tidy/imports.rs does not say what it may import"));
            continue;
        };
        for dependency in package["dependencies"].as_array().context("a package has no dependencies")? {
            let imported = dependency["name"].as_str().context("a dependency has no name")?;
            let ours = MAY_IMPORT.iter().any(|(crate_name, _)| *crate_name == imported);
            if ours && !allowed.contains(&imported) {
                faults
                    .push(format!("crate {name} imports {imported}: imports run downward only (docs/architecture.md)"));
            }
        }
    }
    Ok(faults)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn faults(name: &str, dependency: &str) -> Vec<String> {
        let package = serde_json::json!({ "name": name, "dependencies": [{ "name": dependency, "kind": "dev" }] });
        check(&serde_json::json!({ "packages": [package] })).unwrap()
    }

    #[test]
    fn downward_imports_and_foreign_crates_pass() {
        for (name, dependency) in
            [("liveroot", "liveroot-init"), ("liveroot-iso", "liveroot-tree"), ("liveroot-init", "nix")]
        {
            assert_eq!(faults(name, dependency), Vec::<String>::new(), "{name} -> {dependency}");
        }
    }

    #[test]
    fn upward_imports_and_unknown_crates_do_not() {
        for (name, dependency) in [
            ("liveroot-init", "liveroot-tree"),
            ("liveroot-tree", "liveroot-iso"),
            ("liveroot-iso", "liveroot"),
            ("xtask", "liveroot"),
            ("liveroot-new", "nix"),
        ] {
            assert_eq!(faults(name, dependency).len(), 1, "{name} -> {dependency}");
        }
    }
}
