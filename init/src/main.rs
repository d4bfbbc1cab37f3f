#[cfg(all(target_env = "musl", panic = "abort"))]
#[path = "main/sys.rs"]
mod sys;

fn main() {
    if std::process::id() != 1 {
        eprintln!("liveroot-init is a system's first process, and this one is {}", std::process::id());
        std::process::exit(1);
    }
    init::boot::run()
}
