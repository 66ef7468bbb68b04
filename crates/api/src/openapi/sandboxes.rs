//! The operations of session sandboxes.

use stead_core::code;

use super::operation::{Media, Operation, Place};
use crate::{
    page::Page,
    right::Right::Sandbox as Use,
    sandbox::{
        ChangeSandbox, CreateSandbox, Exec, ExecOutput, FileEntry, FileListing, FileWritten, MakeFolder, MoveFile,
        Sandbox, SignalExec, Snapshot, StartExec, TakeSnapshot, TerminalSize,
    },
    schema,
};

const PATH: &str = "An absolute path below `/workspace`, `/tmp` or `/home/box`, without `.` and `..`.";
const KEY: &str = "1 to 255 visible ASCII characters: the id of the step that runs it. The same command with the same key runs once; another \
    command with it is refused. The keys of the last 256 commands are known.";

fn of(method: &'static str, path: &'static str, id: &'static str, summary: &'static str) -> Operation {
    let operation = Operation::new(method, path, id, summary).needs(&[Use]);
    if path.contains("{sandbox}") {
        let gone = operation.path::<schema::SandboxId>("sandbox", "The sandbox.");
        gone.fails(410, &[code::SESSION_SANDBOX_GONE])
    } else {
        operation
    }
}

fn exec(method: &'static str, path: &'static str, id: &'static str, summary: &'static str) -> Operation {
    of(method, path, id, summary).path::<u32>("exec", "The number of the command.")
}

/// Something with the path of a file.
fn file(method: &'static str, path: &'static str, id: &'static str, summary: &'static str) -> Operation {
    of(method, path, id, summary)
        .query::<String>("path", PATH)
        .fails(404, &[code::NOT_FOUND])
        .fails(422, &[code::SANDBOX_FILE])
}

/// All of them.
pub(super) fn sandboxes() -> Vec<Operation> {
    [whole(), commands(), files()].into_iter().flatten().collect()
}

fn whole() -> Vec<Operation> {
    vec![
        of("POST", "/v1/sandboxes", "createSandbox", "Make a session sandbox")
            .says("It stays until its time is up, it is removed, or the server ends.")
            .body::<CreateSandbox>(false)
            .answers::<Sandbox>(201, "The sandbox.")
            .fails(404, &[code::NOT_FOUND])
            .fails(
                422,
                &[
                    code::SANDBOX_TEMPLATE,
                    code::SESSION_SANDBOX_REFUSED,
                    code::SANDBOX_UNAVAILABLE,
                    code::SANDBOX_LACKS,
                    code::SANDBOX_SPEC,
                    code::EGRESS_RULE,
                ],
            )
            .fails(429, &[code::SESSION_SANDBOXES_FULL]),
        of("GET", "/v1/sandboxes", "listSandboxes", "List session sandboxes")
            .says("Those of the tenant, newest first.")
            .answers::<Page<Sandbox>>(200, "The sandboxes; always one page."),
        of("GET", "/v1/sandboxes/{sandbox}", "getSandbox", "Show a session sandbox")
            .answers::<Sandbox>(200, "The sandbox, with what it has used."),
        of(
            "PATCH",
            "/v1/sandboxes/{sandbox}",
            "changeSandbox",
            "Renew the time of a sandbox, change its limits or egress",
        )
        .says("What is running keeps running, under the new limits and rules from now on.")
        .body::<ChangeSandbox>(true)
        .answers::<Sandbox>(200, "The sandbox as it is now.")
        .fails(422, &[code::SESSION_SANDBOX_REFUSED, code::SANDBOX_LACKS, code::EGRESS_RULE]),
        of("DELETE", "/v1/sandboxes/{sandbox}", "removeSandbox", "Remove a session sandbox")
            .says("Everything in it is killed and gone when this is answered.")
            .answers::<Sandbox>(200, "The sandbox as it was."),
        of("POST", "/v1/sandboxes/{sandbox}/snapshot", "snapshotSandbox", "Keep the workspace of a sandbox")
            .says("What runs in it stands still meanwhile.")
            .body::<TakeSnapshot>(false)
            .answers::<Snapshot>(200, "The snapshot.")
            .fails(
                422,
                &[
                    code::SANDBOX_STILL,
                    code::SESSION_SANDBOX_REFUSED,
                    code::WORKSPACE_LIMIT,
                    code::WORKSPACE_FORGED,
                    code::WORKSPACE_DISK,
                ],
            ),
    ]
}

fn commands() -> Vec<Operation> {
    vec![
        of("POST", "/v1/sandboxes/{sandbox}/exec", "startExec", "Run a command in a sandbox")
            .param::<String>(Place::Header, "Idempotency-Key", KEY)
            .body::<StartExec>(true)
            .answers::<Exec>(200, "An earlier request with this key had started it.")
            .answers::<Exec>(201, "The command runs.")
            .fails(409, &[code::IDEMPOTENCY])
            .fails(422, &[code::SANDBOX_COMMAND, code::SANDBOX_SPEC, code::SESSION_SANDBOX_REFUSED])
            .fails(429, &[code::SESSION_SANDBOXES_FULL]),
        of("GET", "/v1/sandboxes/{sandbox}/exec", "listExecs", "List the commands of a sandbox")
            .says("The last 256, the oldest first.")
            .answers::<Page<Exec>>(200, "The commands; always one page."),
        exec("GET", "/v1/sandboxes/{sandbox}/exec/{exec}", "getExec", "Show a command of a sandbox")
            .answers::<Exec>(200, "The command."),
        exec("GET", "/v1/sandboxes/{sandbox}/exec/{exec}/output", "followExec", "Read or follow the output of a command")
            .says(
                "With `Accept: text/event-stream` it is followed to its end, as events `output`, `lost` and `exit`, whose ids are their \
                numbers: a lost connection goes on after the last one. Otherwise what there is is answered at once. The last MiB is kept.",
            )
            .query::<u64>("after", "Go on after the event of this number.")
            .param::<u64>(Place::Header, "Last-Event-ID", "The same, as browsers send it; counts before `after`.")
            .answers::<ExecOutput>(200, "The output."),
        exec("POST", "/v1/sandboxes/{sandbox}/exec/{exec}/stdin", "writeExec", "Write to the input of a command")
            .says("At most 1 MiB at once. Answered when the command, or a pipe to it, has taken all.")
            .query::<bool>("close", "Whether nothing follows.")
            .bytes()
            .answers::<Exec>(200, "The command.")
            .fails(409, &[code::SANDBOX_INPUT]),
        exec("POST", "/v1/sandboxes/{sandbox}/exec/{exec}/resize", "resizeExec", "Tell a command's terminal its new size")
            .body::<TerminalSize>(true)
            .answers::<Exec>(200, "The command."),
        exec("POST", "/v1/sandboxes/{sandbox}/exec/{exec}/kill", "killExec", "Kill or signal a command")
            .body::<SignalExec>(false)
            .answers::<Exec>(200, "The command, which may not have ended yet."),
    ]
}

fn files() -> Vec<Operation> {
    vec![
        file("GET", "/v1/sandboxes/{sandbox}/files", "readSandboxFile", "Read a file of a sandbox")
            .query::<u64>("offset", "The first byte that is wanted.")
            .query::<u64>("length", "How many bytes are wanted at most.")
            .answers_as::<String>(200, Media::Bytes, "The bytes. They are foreign."),
        file("PUT", "/v1/sandboxes/{sandbox}/files", "writeSandboxFile", "Write a file of a sandbox")
            .says("It is there whole, or as it was before. Its folder must be there. At most 512 MiB.")
            .query::<u32>("mode", "Its permissions; 420 (octal 644) when absent.")
            .bytes()
            .answers::<FileWritten>(200, "The file is there.")
            .fails(507, &[code::SANDBOX_FILE_ROOM]),
        file("DELETE", "/v1/sandboxes/{sandbox}/files", "removeSandboxFile", "Remove a file or folder of a sandbox")
            .query::<bool>("recursive", "Also a folder that is not empty.")
            .answers::<FileEntry>(200, "What was removed."),
        file("GET", "/v1/sandboxes/{sandbox}/files/stat", "statSandboxFile", "Show what is at a path of a sandbox")
            .answers::<FileEntry>(200, "What is there."),
        file("GET", "/v1/sandboxes/{sandbox}/files/list", "listSandboxFiles", "List a folder of a sandbox")
            .answers::<FileListing>(200, "The folder."),
        file(
            "GET",
            "/v1/sandboxes/{sandbox}/files/watch",
            "watchSandboxFiles",
            "Hear of changes below a folder of a sandbox",
        )
        .says("First `watching`, then an event `change` for each. What happens while nobody is connected is not told.")
        .query::<bool>("recursive", "Also of folders below it, up to 1,024.")
        .answers_as::<String>(200, Media::Events, "The changes.")
        .fails(429, &[code::SESSION_SANDBOXES_FULL]),
        of("POST", "/v1/sandboxes/{sandbox}/files/mkdir", "makeSandboxFolder", "Make a folder in a sandbox")
            .body::<MakeFolder>(true)
            .answers::<FileEntry>(200, "The folder.")
            .fails(422, &[code::SANDBOX_FILE])
            .fails(507, &[code::SANDBOX_FILE_ROOM]),
        of("POST", "/v1/sandboxes/{sandbox}/files/move", "moveSandboxFile", "Move a file or folder in a sandbox")
            .body::<MoveFile>(true)
            .answers::<FileEntry>(200, "What is there now.")
            .fails(422, &[code::SANDBOX_FILE]),
    ]
}
