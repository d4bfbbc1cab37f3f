//! A rescue prompt with a password before what leads past a fault.

use anyhow::{Result, ensure};
use harness::vm::Guest;

use super::{Run, Scene, stopped};
use crate::{BOOT, SOON};

/// Of tests/profiles/password.toml.
const RIGHT: &str = "open sesame";
const WRONG: &str = "open barley";
/// The sum is in no text that was typed.
const COMMAND: &str = "echo shell-$((6*7))";
const RAN: &str = "shell-42";
const STOPPED: &str = "The boot stopped in";
const PROMPT: &str = "liveroot> ";

#[test]
fn a_shell_and_going_on_need_the_password_where_there_is_one() -> Result<()> {
    let Some(scene) = Scene::of("password", Run::Always)? else { return Ok(()) };
    let mut guest = scene.start(vec![], "live.timeout=5 live.emergency=shell", 512)?;
    guest.wait("the prompt", BOOT, |text| text.contains(PROMPT).then_some(()))?;

    for (n, word) in ["sh", "continue"].into_iter().enumerate() {
        let shown = answer(&mut guest, word, WRONG)?;
        seen(&guest, "wrong password on ttyS0", n + 1)?;
        seen(&guest, PROMPT, shown + 1)?;
        let shown = typed(&mut guest, COMMAND)?;
        seen(&guest, PROMPT, shown + 1)?;
    }
    let text = guest.said();
    ensure!(text.matches("Answers: retry").count() == 3, "what was typed after a wrong password is no answer:\n{text}");
    ensure!(text.matches(STOPPED).count() == 1, "a wrong password led on:\n{text}");
    ensure!(!text.contains(RAN), "a wrong password gave a shell:\n{text}");

    let shown = typed(&mut guest, "retry")?;
    seen(&guest, PROMPT, shown + 1)?;
    seen(&guest, STOPPED, 2)?;
    let shown = answer(&mut guest, "continue", RIGHT)?;
    seen(&guest, PROMPT, shown + 1)?;
    seen(&guest, STOPPED, 3)?;
    answer(&mut guest, "sh", RIGHT)?;
    seen(&guest, "\n# ", 1)?;
    guest.type_line(COMMAND)?;
    seen(&guest, RAN, 1)?;
    let text = guest.said();
    ensure!(text.matches(COMMAND).count() == 3, "keys stayed hidden after the password:\n{text}");
    let shown = typed(&mut guest, "echo mode-$(stat -c %a /etc/live/shell-password)")?;
    seen(&guest, "mode-600", 1)?;
    guest.type_line("exit")?;
    seen(&guest, PROMPT, shown + 1)?;
    guest.type_line("poweroff")?;
    let (_, policy) = stopped(&guest, "E_NO_MEDIUM", &[])?;
    ensure!(policy == "poweroff", "{policy}");
    let text = guest.console.text();
    for secret in [RIGHT, WRONG, "$5$"] {
        ensure!(!text.contains(secret), "{secret} was shown:\n{text}");
    }
    Ok(())
}

/// Gives how many prompts there were before. Only what is typed once the last of
/// them is whole stands in one piece: a terminal writes what is typed between what
/// is said.
fn typed(guest: &mut Guest, line: &str) -> Result<usize> {
    let prompts = guest.said().matches(PROMPT).count();
    guest.type_line(line)?;
    Ok(prompts)
}

fn answer(guest: &mut Guest, word: &str, password: &str) -> Result<usize> {
    let asked = guest.said().matches("Password: ").count();
    let prompts = typed(guest, word)?;
    seen(guest, "Password: ", asked + 1)?;
    guest.type_line(password)?;
    Ok(prompts)
}

fn seen(guest: &Guest, words: &str, times: usize) -> Result<()> {
    let enough = |text: &str| (text.matches(words).count() >= times).then_some(());
    guest.wait(&format!("`{words}`, {times} times"), SOON, enough)
}
