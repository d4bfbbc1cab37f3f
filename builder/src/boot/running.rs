//! A QEMU that runs. Dropped, it is killed; it dies with this process too.

use std::io::{self, Write};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};

use super::{BootError, Console};
use crate::sys;

#[derive(Debug)]
pub struct Running {
    child: Child,
    pub console: Console,
}

impl Running {
    /// Starts it with its serial line as our console; what is said there is
    /// also written to `echo`.
    pub fn start(mut qemu: Command, echo: impl Write + Send + 'static) -> Result<Self, BootError> {
        let program = qemu.get_program().to_string_lossy().into_owned();
        let failed = |source| BootError::Start { program, source };
        qemu.args(["-monitor", "none", "-serial", "stdio"]);
        let child = (|| {
            // QEMU's own complaints belong with the guest's words.
            let (reader, writer) = io::pipe()?;
            qemu.stdin(Stdio::piped()).stdout(writer.try_clone()?).stderr(writer);
            sys::kill_with_us(&mut qemu);
            let child = qemu.spawn()?;
            Ok((child, reader))
        })();
        // The command holds an end of the pipe, and the console would never end.
        drop(qemu);
        let (child, reader) = child.map_err(failed)?;
        Ok(Self { child, console: Console::listen(reader, echo) })
    }

    /// Runs it with this terminal as its serial line, until it ends.
    pub fn on_this_terminal(mut qemu: Command) -> Result<ExitStatus, BootError> {
        // mux: Ctrl-A X leaves, and Ctrl-C goes to the guest.
        qemu.args(["-chardev", "stdio,id=tty,mux=on,signal=off", "-serial", "chardev:tty", "-mon", "chardev=tty"]);
        sys::kill_with_us(&mut qemu);
        let program = qemu.get_program().to_string_lossy().into_owned();
        qemu.status().map_err(|source| BootError::Start { program, source })
    }

    pub fn stdin(&mut self) -> Option<&mut ChildStdin> {
        self.child.stdin.as_mut()
    }

    pub fn try_wait(&mut self) -> io::Result<Option<ExitStatus>> {
        self.child.try_wait()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended by itself: then there is nothing to kill, and only the waiting counts.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
