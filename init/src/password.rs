//! A password as crypt(5) keeps it, hashed by SHA-256: `$5$SALT$HASH`, or
//! `$5$rounds=N$SALT$HASH`. "Unix crypt using SHA-256 and SHA-512" by Ulrich
//! Drepper is the specification.

use std::{fmt, hint};

use sha2::{Digest, Sha256};

const PREFIX: &str = "$5$";
const DEFAULT_ROUNDS: u32 = 5_000;
const MIN_ROUNDS: u32 = 1_000;
/// crypt(5) goes on to 999,999,999, which is a quarter of an hour for an answer.
const MAX_ROUNDS: u32 = 1_000_000;
const MAX_SALT: usize = 16;
/// crypt's own order of the 64 digits.
const DIGITS: &[u8; 64] = b"./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
/// Of 32 bytes: ten threes to four digits, and two to three.
const HASH_LEN: usize = 43;

#[derive(Clone, PartialEq, Eq)]
pub struct PasswordHash {
    rounds: u32,
    salt: String,
    hash: [u8; HASH_LEN],
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PasswordHashError {
    Kind,
    Rounds,
    Salt,
    Hash,
}

impl fmt::Display for PasswordHashError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Kind => "not a crypt(5) hash of the SHA-256 kind, which begins with `$5$`",
            Self::Rounds => "its rounds are not from 1000 to 1000000",
            Self::Salt => "its salt is not 1 to 16 of a-z A-Z 0-9 . /",
            Self::Hash => "no 43 digits of a hash at its end",
        })
    }
}

impl std::error::Error for PasswordHashError {}

/// Without its text: nothing that is logged shall be of use to guess it.
impl fmt::Debug for PasswordHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PasswordHash").finish_non_exhaustive()
    }
}

impl PasswordHash {
    pub fn parse(text: &str) -> Result<Self, PasswordHashError> {
        let rest = text.strip_prefix(PREFIX).ok_or(PasswordHashError::Kind)?;
        let (rounds, rest) = match rest.strip_prefix("rounds=") {
            None => (DEFAULT_ROUNDS, rest),
            Some(rest) => {
                let (rounds, rest) = rest.split_once('$').ok_or(PasswordHashError::Rounds)?;
                (rounds.parse().map_err(|_| PasswordHashError::Rounds)?, rest)
            }
        };
        if !(MIN_ROUNDS..=MAX_ROUNDS).contains(&rounds) {
            return Err(PasswordHashError::Rounds);
        }
        let are_digits = |text: &str| text.bytes().all(|byte| DIGITS.contains(&byte));
        let (salt, hash) = rest.split_once('$').ok_or(PasswordHashError::Hash)?;
        if !(1..=MAX_SALT).contains(&salt.len()) || !are_digits(salt) {
            return Err(PasswordHashError::Salt);
        }
        let hash = hash.as_bytes().try_into().ok().filter(|_| are_digits(hash)).ok_or(PasswordHashError::Hash)?;
        Ok(Self { rounds, salt: salt.into(), hash })
    }

    /// The shortest text that is parsed as this.
    pub fn print(&self) -> String {
        let rounds = if self.rounds == DEFAULT_ROUNDS { String::new() } else { format!("rounds={}$", self.rounds) };
        format!("{PREFIX}{rounds}{}${}", self.salt, String::from_utf8_lossy(&self.hash))
    }

    /// Takes the same time for every wrong password of one length.
    pub fn is_of(&self, password: &[u8]) -> bool {
        let hash = encode(&digest(password, self.salt.as_bytes(), self.rounds));
        let differences = self.hash.iter().zip(hash).fold(0, |all, (a, b)| all | (a ^ b));
        hint::black_box(differences) == 0
    }
}

/// The specification's steps 1 to 21, by its names.
fn digest(password: &[u8], salt: &[u8], rounds: u32) -> [u8; 32] {
    let b = sha256(&[password, salt, password]);
    let mut a = [password, salt, &repeated(&b, password.len())].concat();
    let mut bits = password.len();
    while bits > 0 {
        a.extend_from_slice(if bits % 2 == 1 { &b } else { password });
        bits /= 2;
    }
    let a = sha256(&[&a]);
    let p = sha256(&[&repeated(password, password.len() * password.len())]);
    let p = repeated(&p, password.len());
    let s = sha256(&[&repeated(salt, (16 + usize::from(a[0])) * salt.len())]);
    let s = repeated(&s, salt.len());
    (0..rounds).fold(a, |c, round| {
        let [first, last]: [&[u8]; 2] = if round % 2 == 1 { [&p, &c] } else { [&c, &p] };
        let salted = if round % 3 == 0 { &[] } else { &s[..] };
        let keyed = if round % 7 == 0 { &[] } else { &p[..] };
        sha256(&[first, salted, keyed, last])
    })
}

/// In one place: what SHA-256 inlines into each would cost /init more than all else here.
#[inline(never)]
fn sha256(parts: &[&[u8]]) -> [u8; 32] {
    Sha256::digest(parts.concat()).into()
}

/// As many bytes as asked for, of the same over and over.
fn repeated(bytes: &[u8], len: usize) -> Vec<u8> {
    let mut filled = Vec::new();
    while filled.len() < len {
        filled.extend_from_slice(&bytes[..bytes.len().min(len - filled.len())]);
    }
    filled
}

/// The specification's step 22: one byte of each third, whose turn it is going
/// first, to four digits, the low one first; at the end two bytes to three.
fn encode(digest: &[u8; 32]) -> [u8; HASH_LEN] {
    let mut text = [0; HASH_LEN];
    for (n, digits) in text.chunks_mut(4).enumerate() {
        let [a, b, c] = match n {
            0..10 => [digest[n], digest[n + 10], digest[n + 20]],
            _ => [digest[31], digest[30], 0],
        };
        let [high, middle, low] = match n % 3 {
            0 => [a, b, c],
            1 => [c, a, b],
            _ => [b, c, a],
        };
        let mut bits = u32::from_be_bytes([0, high, middle, low]);
        for digit in digits {
            *digit = DIGITS[(bits % 64) as usize];
            bits /= 64;
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: &str = "a very much longer text to encrypt.  This one even stretches over morethan one line.";

    /// The specification's own, but for the one with fewer rounds than 1,000;
    /// a salt that is too long stands there as what it is cut to.
    #[test]
    fn the_specification_s_passwords_have_its_hashes() {
        for (password, text) in [
            ("Hello world!", "$5$saltstring$5B8vYYiY.CVt1RlTTf8KbXBH3hsxY/GNooZaBBGWEc5"),
            ("Hello world!", "$5$rounds=10000$saltstringsaltst$3xv.VbSHBb41AL9AvLeujZkZRBAwqFMz2.opqey6IcA"),
            ("This is just a test", "$5$rounds=5000$toolongsaltstrin$Un/5jzAHMgOGZ5.mWJpuVolil07guHPvOW8mGRcvxa5"),
            (LONG, "$5$rounds=1400$anotherlongsalts$Rx.j8H.h8HjEDGomFU8bDkXm3XIUnzyxf12oP84Bnq1"),
            (
                "we have a short salt string but not a short password",
                "$5$rounds=77777$short$JiO1O3ZpDAxGJeaDIuqCoEFysAe1mZNJRs3pw0KQRd/",
            ),
            ("a short string", "$5$rounds=123456$asaltof16chars..$gP3VQ/6X7UUEW3HkBn2w1/Ptq2jxPyzV/cZKmF/wJvD"),
        ] {
            let hash = PasswordHash::parse(text).unwrap();
            assert_eq!(hash.print(), text.replace("rounds=5000$", ""));
            assert!(hash.is_of(password.as_bytes()), "{text}");
            for wrong in [&password[1..], &password[..password.len() - 1], &format!("{password} "), ""] {
                assert!(!hash.is_of(wrong.as_bytes()), "{wrong:?} {text}");
            }
        }
    }

    #[test]
    fn what_is_no_hash_of_this_kind_is_refused() {
        use PasswordHashError::{Hash, Kind, Rounds, Salt};
        let digits = "5B8vYYiY.CVt1RlTTf8KbXBH3hsxY/GNooZaBBGWEc5";
        for (text, why) in [
            (String::new(), Kind),
            ("secret".into(), Kind),
            (format!("$6$salt${digits}"), Kind),
            (format!("$5$rounds=999$salt${digits}"), Rounds),
            (format!("$5$rounds=1000001$salt${digits}"), Rounds),
            (format!("$5$rounds=99999999999$salt${digits}"), Rounds),
            (format!("$5$rounds=$salt${digits}"), Rounds),
            ("$5$rounds=5000".into(), Rounds),
            (format!("$5$${digits}"), Salt),
            (format!("$5$saltstringsaltstr${digits}"), Salt),
            (format!("$5$sal t${digits}"), Salt),
            ("$5$salt".into(), Hash),
            (format!("$5$salt${}", &digits[1..]), Hash),
            (format!("$5$salt${digits}x"), Hash),
            (format!("$5$salt$!{}", &digits[1..]), Hash),
            (format!("$5$salt${digits}\n"), Hash),
        ] {
            assert_eq!(PasswordHash::parse(&text), Err(why), "{text:?}");
        }
        for rounds in [1_000, MAX_ROUNDS] {
            assert!(PasswordHash::parse(&format!("$5$rounds={rounds}$s${digits}")).is_ok());
        }
    }

    #[test]
    fn a_hash_that_is_printed_for_a_debugger_tells_nothing() {
        let hash = PasswordHash::parse("$5$saltstring$5B8vYYiY.CVt1RlTTf8KbXBH3hsxY/GNooZaBBGWEc5").unwrap();
        assert_eq!(format!("{hash:?}"), "PasswordHash { .. }");
    }
}
