//! The hash tree, by veritysetup: the same bytes, the same root hash, and its
//! own verification over both.

use std::fs::{self, File};
use std::io::{Cursor, Write};
use std::process::Command;

use builder::verity;
use init::manifest::Hex;
use init::verity::{BLOCK, Superblock};

use crate::{output, tool};

#[test]
fn the_hash_tree_is_veritysetups() {
    let Some(veritysetup) = tool("veritysetup") else { return };
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    // A tree without a level, a full one, a second level begun, a third.
    for blocks in [1_u64, 2, 128, 129, 16_385] {
        let mut seed = blocks;
        let mut next = || {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (seed >> 56) as u8
        };
        let data: Vec<u8> = (0..blocks * BLOCK).map(|_| next()).collect();
        fs::write(at("data"), &data).unwrap();
        let ours = File::options().read(true).write(true).create(true).truncate(true).open(at("ours")).unwrap();
        let mut passing = verity::Passing::new(Cursor::new(Vec::new()), verity::salt("a name"));
        passing.write_all(&data).unwrap();
        let root = passing.finish(&ours).unwrap();
        let superblock = Superblock::parse(&fs::read(at("ours")).unwrap()[..512]).unwrap();

        let uuid = Hex(&superblock.uuid).to_string();
        let uuid = [&uuid[..8], &uuid[8..12], &uuid[12..16], &uuid[16..20], &uuid[20..]].join("-");
        let mut format = Command::new(&veritysetup);
        format.args(["format", "--uuid", &uuid, "--salt", &Hex(&superblock.salt).to_string()]);
        let said = output(format.arg(at("data")).arg(at("theirs")));
        assert!(said.contains(&Hex(&root).to_string()), "{blocks} blocks: {}, and they say {said}", Hex(&root));
        assert!(fs::read(at("ours")).unwrap() == fs::read(at("theirs")).unwrap(), "{blocks} blocks");
        fs::remove_file(at("theirs")).unwrap();

        let verify = |root: &str| {
            let mut verify = Command::new(&veritysetup);
            verify.arg("verify").args([at("data"), at("ours")]).arg(root);
            verify.output().unwrap().status.success()
        };
        assert!(verify(&Hex(&root).to_string()), "{blocks} blocks");
        assert!(!verify(&Hex(&[0; 32]).to_string()), "veritysetup takes any root hash");
    }
}
