//! Machines unlike the developer's: other instruction sets, one processor, more threads than processors, too little memory.

use std::{fs::File, io::Write as _, process::Command};

use crate::sprag::{Done, Sandbox, fixture, sprag};

/// The hybrid: it has every kind of kernel.
const MODEL: &str = "qwen35";

fn text(done: &Done) -> &str {
    assert_eq!(done.code, Some(0), "{}", done.err);
    &done.out
}

fn run(options: &[&str]) -> Done {
    let model = fixture(MODEL);
    let common = [
        "run", &model, "--raw", "-p", "the in", "--greedy", "-n", "24",
    ];
    sprag(&[&common, options].concat())
}

#[test]
fn every_instruction_set_of_the_processor_gives_the_same_text() {
    let best = run(&[]);
    for isa in kernels::Isa::available() {
        let forced = run(&["--isa", isa.name()]);
        assert_eq!(text(&forced), text(&best), "{}", isa.name());
    }
    let (code, told) = (run(&["--isa", "avx9"]).code, run(&["--isa", "avx9"]).err);
    assert_eq!(code, Some(2));
    assert!(
        told.contains("expected one of this processor's: portable"),
        "{told}"
    );
}

#[test]
fn more_threads_than_processors_work_and_are_told() {
    let processors = silicon::probe::Machine::probe().cores.usable;
    let (fit, many) = (run(&["--threads", "1"]), (processors + 2).to_string());
    let crowded = run(&["--threads", &many]);
    assert_eq!(text(&crowded), text(&fit));
    let warning = format!("warning: {many} threads on {processors} processors");
    assert!(crowded.err.contains(&warning), "{}", crowded.err);
    assert!(!fit.err.contains("warning"), "{}", fit.err);
}

/// A shell that puts the command on one processor, or limits its address space, and becomes it.
#[cfg(target_os = "linux")]
fn under(limit: &str, arguments: &[&str]) -> Done {
    let sandbox = Sandbox::new();
    let inner = sandbox.command(arguments);
    let mut shell = Command::new("sh");
    shell
        .args(["-c", &format!("{limit} \"$@\""), "sh"])
        .arg(inner.get_program())
        .args(inner.get_args())
        .env("SPRAG_HOME", sandbox.folder.path().join("home"));
    let output = shell.output().expect("a shell");
    Done {
        code: output.status.code(),
        out: String::from_utf8(output.stdout).expect("text"),
        err: String::from_utf8(output.stderr).expect("text"),
    }
}

#[cfg(target_os = "linux")]
#[test]
fn one_processor_is_enough() {
    let model = fixture(MODEL);
    let arguments = [
        "run", &model, "--raw", "-p", "the in", "--greedy", "-n", "24",
    ];
    let done = under("exec taskset -c 0", &arguments);
    assert_eq!(text(&done), text(&run(&[])));
    // Two threads on it wait for each other, but get there.
    let arguments = [&arguments[..], &["--threads", "2"]].concat();
    let done = under("exec taskset -c 0", &arguments);
    assert_eq!(text(&done), text(&run(&[])));
    assert!(
        done.err.contains("warning: 2 threads on 1 processors"),
        "{}",
        done.err
    );
}

#[test]
fn weights_on_the_disk_give_the_same_text() {
    let (sandbox, model) = (Sandbox::new(), fixture(MODEL));
    let run = |options: &[&str]| {
        let common = [
            "run", &model, "--raw", "-p", "the in", "--greedy", "-n", "24",
        ];
        sandbox.run(&[&common, options].concat())
    };
    let folder = sandbox.folder.path().join("home").join("packed");
    let in_memory = run(&["--weights", "memory"]);
    assert_eq!(text(&run(&[])), text(&in_memory));
    assert!(!folder.exists(), "packing that takes no second is not kept");
    assert_eq!(text(&run(&["--weights", "disk"])), text(&in_memory));
    let files: Vec<_> = std::fs::read_dir(&folder).unwrap().flatten().collect();
    let [file] = &files[..] else {
        panic!("one file is kept: {files:?}");
    };
    // What is there is used, by those who want the weights in memory too.
    let before = file.metadata().unwrap().modified().unwrap();
    assert_eq!(text(&run(&["--weights", "disk"])), text(&in_memory));
    assert_eq!(text(&run(&[])), text(&in_memory));
    assert_eq!(file.metadata().unwrap().modified().unwrap(), before);
    // Its head and its index are right, its weights are another's.
    let mut bytes = std::fs::read(file.path()).unwrap();
    let (first, index) = (4096, bytes.len() - 24);
    let index = u64::from_le_bytes(bytes[index..][..8].try_into().unwrap()) as usize;
    bytes[first..index].fill(1);
    std::fs::write(file.path(), &bytes).unwrap();
    assert_eq!(text(&run(&[])), text(&in_memory));
    assert_eq!(text(&run(&["--weights", "disk"])), text(&in_memory));
    let mended = std::fs::read(file.path()).unwrap();
    assert!(mended != bytes, "it is written anew");
    let listed = sandbox.run(&["models"]);
    assert!(text(&listed).contains("packed weights, "), "{}", listed.out);
}

/// A file whose only tensor is larger than any memory. The file is all hole: it takes no disk.
#[test]
fn weights_beyond_the_memory_are_refused_before_any_is_taken() {
    const ROWS: u64 = 1 << 34;
    const COLUMNS: u64 = 64;
    let sandbox = Sandbox::new();
    let path = sandbox.folder.path().join("huge.gguf");
    let text = |text: &str| [&(text.len() as u64).to_le_bytes()[..], text.as_bytes()].concat();
    let header = [
        b"GGUF".to_vec(),
        3u32.to_le_bytes().to_vec(),
        // One tensor, one key.
        1u64.to_le_bytes().to_vec(),
        1u64.to_le_bytes().to_vec(),
        text("general.architecture"),
        8u32.to_le_bytes().to_vec(),
        text("llama"),
        text("token_embd.weight"),
        2u32.to_le_bytes().to_vec(),
        COLUMNS.to_le_bytes().to_vec(),
        ROWS.to_le_bytes().to_vec(),
        // f32, from the beginning.
        0u32.to_le_bytes().to_vec(),
        0u64.to_le_bytes().to_vec(),
    ]
    .concat();
    let mut file = File::create(&path).unwrap();
    file.write_all(&header).unwrap();
    file.set_len(header.len().next_multiple_of(32) as u64 + 4 * COLUMNS * ROWS)
        .unwrap();
    let done = sandbox.run(&["run", path.to_str().unwrap(), "-p", "x"]);
    let (code, told) = done.told();
    assert_eq!(code, Some(6), "{told}");
    assert!(
        told.contains("the model's weights take 4.40 TB, but"),
        "{told}"
    );
    assert!(
        told.contains("hint: sprag models lists smaller ones"),
        "{told}"
    );
}

/// Where the system refuses memory instead of overcommitting it, the answer is a message too, never an abort.
#[cfg(target_os = "linux")]
#[test]
fn a_limit_on_memory_is_told() {
    let model = fixture(MODEL);
    let arguments = [
        "run", &model, "--raw", "-p", "the in", "--greedy", "-n", "4",
    ];
    let under_kib = |limit: u64| under(&format!("ulimit -v {limit}; exec"), &arguments);
    // Below this the system's loader finds no room for the program itself, and nothing of Sprag has run.
    let starts = (20_000..4_000_000)
        .step_by(2000)
        .find(|&limit| {
            under_kib(limit)
                .err
                .contains("error: this process may take")
        })
        .expect("a limit under which the program starts and says that it can't go on");
    let above = [1, 2, 4, 6, 8, 10, 12, 16, 24, 50, 100, 250, 4000].map(|mb| starts + 1000 * mb);
    let mut told = Vec::new();
    for limit in above {
        let done = under_kib(limit);
        match done.code {
            Some(0) => told.push("answered"),
            Some(6) => {
                assert!(done.err.contains("error: "), "{limit}: {}", done.err);
                told.push("refused");
            }
            other => panic!("{limit}, {starts} to start: {other:?} {}", done.err),
        }
    }
    assert_eq!(told.first(), Some(&"refused"), "{told:?}");
    assert_eq!(told.last(), Some(&"answered"), "{told:?}");
    println!("{told:?}");
}
