use std::fmt;
use std::io;

use nix::errno::Errno;

/// Names of entries are bytes that a stranger chose: they are escaped when printed.
#[derive(Debug)]
pub enum UnpackError {
    /// The input fails, or its compression is cut short or damaged.
    Read { after: Vec<u8>, error: io::Error },
    /// What was read is not a tar archive, or not all of one.
    Archive { after: Vec<u8>, problem: &'static str },
    /// An entry that no package may have, or not this one.
    Refused { entry: Vec<u8>, why: Refusal },
    /// The system does not let us make an entry.
    Failed { entry: Vec<u8>, doing: &'static str, errno: Errno },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    Climbs,
    Nul,
    Nameless,
    Reserved,
    NoTarget,
    /// The type byte of the header.
    UnknownType(u8),
    Socket,
    Sparse,
    Data,
    Number,
    SetId,
    Device,
    Attribute,
    OverDirectory,
    Larger(u64),
    TooMany(u64),
}

impl UnpackError {
    /// The root is full: more memory or a smaller package helps, another medium does not.
    pub fn is_no_space(&self) -> bool {
        matches!(self, Self::Failed { errno: Errno::ENOSPC | Errno::EDQUOT, .. })
    }
}

impl fmt::Display for UnpackError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Read { after, error } => {
                write!(f, "it cannot be read {}: {error}", After(after))
            }
            Self::Archive { after, problem } => write!(f, "{problem} {}", After(after)),
            Self::Refused { entry, why } => write!(f, "entry `{}` {why}", entry.escape_ascii()),
            Self::Failed { entry, doing, errno } => {
                write!(f, "cannot {doing} `{}`: {}", entry.escape_ascii(), errno.desc())
            }
        }
    }
}

impl std::error::Error for UnpackError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Read { error, .. } => Some(error),
            Self::Failed { errno, .. } => Some(errno),
            Self::Archive { .. } | Self::Refused { .. } => None,
        }
    }
}

struct After<'a>(&'a [u8]);

impl fmt::Display for After<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            [] => f.write_str("before its first entry"),
            name => write!(f, "after entry `{}`", name.escape_ascii()),
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Climbs => "climbs out of its directory with `..`",
            Self::Nul => "has a NUL byte in its name",
            Self::Nameless => "has no name of its own",
            Self::Reserved => "has the name that we give to unfinished files",
            Self::NoTarget => "is a link to nothing",
            Self::UnknownType(byte) => return write!(f, "is of the unknown type 0x{byte:02x}"),
            Self::Socket => "is a socket, which nothing can be kept in",
            Self::Sparse => "is a sparse file in a way of GNU tar's own: pack it without --sparse",
            Self::Data => "has contents, which its type cannot have",
            Self::Number => "has a number in its header that is none, or out of range",
            Self::SetId => "is set-uid or set-gid, which needs a privileged package",
            Self::Device => "is a device node, which needs a privileged package",
            Self::Attribute => "has capabilities or attributes of the system, which needs a privileged package",
            Self::OverDirectory => "would replace a directory by something else",
            Self::Larger(limit) => {
                return write!(f, "makes the package larger than the {limit} bytes it may unpack to");
            }
            Self::TooMany(limit) => return write!(f, "makes more entries than the {limit} a package may have"),
        })
    }
}
