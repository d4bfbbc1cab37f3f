#[cfg(all(target_env = "musl", panic = "abort"))]
#[path = "main/sys.rs"]
mod sys;

fn main() {
    let words: Vec<String> = std::env::args().collect();
    if let [name, disk, emergency] = &words[..]
        && name == init::watch::NAME
    {
        return init::watch::run(disk, emergency);
    }
    let name = words.first().and_then(|name| name.rsplit('/').next()).unwrap_or_default();
    if init::shutdown::NAMES.contains(&name) {
        return init::shutdown::run(&words[1..]);
    }
    if init::save::program::is(name) {
        std::process::exit(init::save::program::run(&words[1..]));
    }
    if std::process::id() != 1 {
        eprintln!("liveroot-init is a system's first process, and this one is {}", std::process::id());
        std::process::exit(1);
    }
    init::boot::run()
}
