//! The reference of /init's parameters, made from the table that /init itself
//! reads its command line by: as Markdown for docs/, as a manual page for man(1).

use std::fmt::Write;

use init::contract::params::{Alias, Param, Reading, TABLE};

/// docs/parameters.md.
pub fn markdown() -> String {
    let mut text = String::from(
        "# Boot parameters\n\n\
         What `/init` understands on the kernel command line, and by which names of other live systems. The last one\n\
         on the line wins. Made by `liveroot man --markdown` from the table in init/src/contract/params/table.rs.\n\n\
         | parameter | default | meaning | other names |\n|---|---|---|---|\n",
    );
    for param in TABLE {
        let Param { name, form, default, .. } = param;
        // Some are values and some are said in words.
        let default = if default.is_empty() || default.contains(' ') { (*default).to_owned() } else { code(default) };
        let others: Vec<_> = param.aliases.iter().map(|alias| code(&translation(alias))).collect();
        let meaning = meaning(param).replace('|', "\\|");
        let _ =
            writeln!(text, "| {} | {default} | {meaning} | {} |", code(&format!("{name}={form}")), others.join(", "));
    }
    text
}

/// liveroot-init(7), for man(1). `date` is the page's, as the tradition has it.
pub fn page(date: &str) -> String {
    let mut text = format!(
        ".TH LIVEROOT-INIT 7 \"{date}\" \"liveroot {}\"\n\
         .SH NAME\nliveroot-init \\- the first process of a liveroot system, and its boot parameters\n\
         .SH DESCRIPTION\nThe kernel starts\n.I /init\nfrom the initramfs. It finds the medium, makes the root from it, \
         and becomes the distribution's own init.\n\
         What it does along the way is set by parameters on the kernel command line; the last one wins.\n\
         .SH PARAMETERS\n",
        env!("CARGO_PKG_VERSION")
    );
    for param in TABLE {
        let _ = writeln!(text, ".TP\n.BR {} =\\fI{}\\fR", roff(param.name), roff(param.form));
        let _ = writeln!(text, "{}.", roff(&meaning(param)));
        if !param.default.is_empty() {
            let _ = writeln!(text, "Default: {}.", roff(param.default));
        }
        if !param.aliases.is_empty() {
            let others: Vec<_> = param.aliases.iter().map(|alias| roff(&translation(alias))).collect();
            let _ = writeln!(text, ".br\nOther names: {}.", others.join(", "));
        }
    }
    text + ".SH FILES\n.TP\n.I /run/live/status\nJSON: how each state ended, and how long it took.\n\
            .TP\n.I /run/live/init.log\nThe log.\n"
}

fn meaning(param: &Param) -> String {
    param.help.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// `theirs=VALUE` with what it becomes, where that is not the value itself.
fn translation(Alias { name, reading }: &Alias) -> String {
    match reading {
        Reading::Same => format!("{name}="),
        Reading::Fixed(ours) | Reading::When("", ours) => format!("{name} → {ours}"),
        Reading::When(theirs, ours) => format!("{name}={theirs} → {ours}"),
        Reading::Begin(theirs, ours) => format!("{name}={theirs}X → {ours}X"),
        Reading::After(begin) => format!("{name}=[...{begin}]X → X"),
        Reading::Before(end) => format!("{name}=N[{end}...] → N"),
        Reading::Unit(unit) => format!("{name}=N → N{unit}"),
    }
}

fn code(text: &str) -> String {
    format!("`{}`", text.replace('|', "\\|"))
}

/// A leading dot or quote is a request, and a plain minus may become a hyphen.
fn roff(text: &str) -> String {
    let text = text.replace('\\', "\\e").replace('-', "\\-").replace('→', "\\(->");
    if text.starts_with(['.', '\'']) { format!("\\&{text}") } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_in_docs_is_the_one_that_init_reads() {
        let written = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/parameters.md");
        let written = std::fs::read_to_string(written).unwrap();
        assert!(written == markdown(), "write it anew: liveroot man --markdown > docs/parameters.md");
    }

    #[test]
    fn the_page_has_every_parameter_and_no_stray_request() {
        let page = page("2026-11-21");
        for param in TABLE {
            assert!(page.contains(&format!(".BR {} =", roff(param.name))), "{}", param.name);
        }
        let requests = [".TH", ".SH", ".TP", ".BR", ".br", ".I"];
        for line in page.lines().filter(|line| line.starts_with(['.', '\''])) {
            assert!(requests.contains(&line.split(' ').next().unwrap()), "{line}");
        }
    }
}
