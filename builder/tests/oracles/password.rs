//! Hashes that openssl makes, and passwords held against them.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use init::password::PasswordHash;

use crate::tool;

/// On both sides of where SHA-256 begins another block, and the digest another turn.
const LENGTHS: [usize; 16] = [1, 2, 7, 15, 16, 17, 31, 32, 33, 55, 56, 63, 64, 65, 127, 200];

#[test]
fn passwords_are_known_by_the_hashes_that_openssl_makes() {
    let Some(openssl) = tool("openssl") else { return };
    for len in LENGTHS {
        let password: Vec<u8> = (0..len).map(|n| b'!' + (n * 7 % 90) as u8).collect();
        for salt in [None, Some("./azAZ09"), Some("rounds=1000$s"), Some("rounds=7001$sixteen.digits..")] {
            let text = hash_of(&openssl, &password, salt);
            let hash = PasswordHash::parse(&text).unwrap_or_else(|e| panic!("{text}: {e}"));
            assert!(hash.is_of(&password), "{text} of {len} bytes");
            assert!(!hash.is_of(&password[1..]) && !hash.is_of(&[&password[..], b" "].concat()), "{text}");
        }
    }
}

/// By its standard input: an argument could begin with a dash.
fn hash_of(openssl: &Path, password: &[u8], salt: Option<&str>) -> String {
    let mut command = Command::new(openssl);
    command.args(["passwd", "-5", "-stdin"]);
    if let Some(salt) = salt {
        command.args(["-salt", salt]);
    }
    let mut running = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    running.stdin.take().unwrap().write_all(password).unwrap();
    let output = running.wait_with_output().unwrap();
    assert!(output.status.success());
    String::from_utf8(output.stdout).unwrap().trim_end().to_owned()
}
