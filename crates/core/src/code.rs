//! Stable error codes. Each has a page `docs/errors/STnnnn.md` with cause and cure, which `stead errors STnnnn`
//! prints; `cargo xtask tidy` fails on a code without a page. A number is never reused.

use std::fmt;

use minicbor::{Decode, Encode};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// A stable code, written `ST0042`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
#[cbor(transparent)]
pub struct Code(#[n(0)] pub u16);

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ST{:04}", self.0)
    }
}
impl fmt::Debug for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
impl Serialize for Code {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}
impl<'de> Deserialize<'de> for Code {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let s = String::deserialize(d)?;
        s.strip_prefix("ST").and_then(|n| n.parse().ok()).map(Self).ok_or_else(|| de::Error::custom("not a code"))
    }
}

macro_rules! codes {
    ($($(#[doc = $doc:literal])* $name:ident = $n:literal, $title:literal;)*) => {
        $($(#[doc = $doc])* pub const $name: Code = Code($n);)*
        /// Every code with its title, in order of number.
        pub const ALL: &[(Code, &str)] = &[$((Code($n), $title)),*];
    };
}

codes! {
    // 1-19: runs
    /// A limit of the run's budget was reached.
    BUDGET = 1, "A budget limit was reached";
    /// A money limit met a model whose price is not known.
    UNPRICED = 2, "A money budget needs a model with a known price";
    /// The run took more model turns than its manifest allows.
    TURNS = 3, "Too many model turns";
    /// No model of the chain answered.
    MODEL_EXHAUSTED = 4, "No model answered";
    /// An attempt at a model was lost: the process ended while it was under way.
    MODEL_LOST = 5, "A model call was lost";
    /// The run was told to stop.
    STOPPED = 6, "The run was stopped";
    /// The fold of a run's journal failed; the run alone is set aside.
    QUARANTINED = 7, "The run's journal cannot be folded";
    /// The command does not fit what the run is doing.
    CONFLICT = 8, "The command does not fit the state of the run";
    /// The run's agent version can no longer be loaded.
    VERSION_GONE = 9, "The agent version cannot be loaded";
    /// The chain of runs starting runs is too long.
    HOPS = 10, "Too many runs started by runs";
    // 20-39: models
    /// The provider answered with an error that will not go away by itself.
    MODEL_REFUSED = 20, "The model provider refused the request";
    /// The provider is overloaded or limits the rate (429, 529, 503).
    MODEL_BUSY = 21, "The model provider is busy";
    /// The stream ended before the reply was complete.
    MODEL_CUT = 22, "The model's reply was cut off";
    /// The reply makes no sense: not the wire's format.
    MODEL_GARBAGE = 23, "The model's reply could not be read";
    /// The provider could not be reached.
    MODEL_UNREACHABLE = 24, "The model provider could not be reached";
    /// The provider took too long.
    MODEL_TIMEOUT = 25, "The model took too long";
    /// No key for the provider.
    MODEL_KEY = 26, "The model provider's key is missing or wrong";
    /// The rehearsal script has no line for this input.
    REHEARSAL = 27, "The rehearsal script has no answer";
    // 40-69: tools and effects
    /// The model called a tool that the agent does not have.
    TOOL_UNKNOWN = 40, "Unknown tool";
    /// The arguments do not satisfy the tool's schema.
    TOOL_ARGUMENTS = 41, "The arguments do not fit the tool's schema";
    /// The tool took too long.
    TOOL_TIMEOUT = 42, "The tool took too long";
    /// Nobody knows whether the effect happened.
    EFFECT_UNKNOWN = 43, "The outcome of an effect is unknown";
    /// A human said no.
    DENIED = 44, "A human denied the action";
    /// Nobody approved in time.
    APPROVAL_EXPIRED = 45, "Nobody approved in time";
    /// A business key was used again with other arguments.
    KEY_REUSED = 46, "A key was reused with other arguments";
    /// The tool is not what it was when the agent version was made.
    TOOL_CHANGED = 47, "The tool changed";
    /// The tool's server is gone or does not answer.
    TOOL_SERVER = 48, "The tool's server does not answer";
    /// The tool was never reached, and retries are used up.
    TOOL_NOT_SENT = 49, "The tool could not be reached";
    /// The tool answered with an error.
    TOOL_ERROR = 50, "The tool answered with an error";
    /// The statement is not allowed.
    SQL_DENIED = 51, "The SQL statement is not allowed";
    /// The tool's answer is larger than its cap.
    TOOL_FLOOD = 52, "The tool's answer is too large";
    /// The effect was withdrawn because the run stopped.
    WITHDRAWN = 53, "The effect was withdrawn";
    /// A URL leads to an address that is guarded.
    TOOL_ADDRESS = 54, "The address is guarded";
    /// An API description that cannot be used.
    API_DESCRIPTION = 55, "The API description cannot be used";
    /// A tool's server refuses the credential.
    TOOL_CREDENTIAL = 56, "The tool's server refuses the credential";
    /// Policies deny what was to be done.
    POLICY = 57, "A policy denies it";
    /// Policies have changed since a human was asked, and would now have another action done.
    POLICY_CHANGED = 58, "Policies changed what was approved";
    // 100-139: manifest and configuration
    /// The manifest cannot be read.
    MANIFEST_READ = 100, "The manifest cannot be read";
    /// The manifest is not valid YAML.
    MANIFEST_SYNTAX = 101, "The manifest is not valid YAML";
    /// A key the manifest does not know.
    MANIFEST_KEY = 102, "Unknown key in the manifest";
    /// A value of the wrong kind or out of range.
    MANIFEST_VALUE = 103, "Wrong value in the manifest";
    /// A file that the manifest names is missing or outside its folder.
    MANIFEST_FILE = 104, "A file named by the manifest is missing";
    /// A capability that this release or host cannot give.
    MANIFEST_UNSUPPORTED = 105, "Not supported here";
    /// Policies that say something wrong, or do not fit the tools.
    POLICY_REFUSED = 106, "The policies are refused";
    /// The server's configuration is wrong.
    CONFIG = 110, "The server configuration is wrong";
    /// Listening off loopback without TLS or a declared proxy.
    CONFIG_LISTEN = 111, "Refusing to listen off loopback";
    // 140-169: data and process
    /// Another process owns the data directory.
    DATA_LOCKED = 140, "Another process owns the data directory";
    /// The data directory was written by a newer release.
    DATA_NEWER = 141, "The data is from a newer release";
    /// The data directory cannot be written.
    DATA_READONLY = 142, "The data directory cannot be written";
    /// The disk is full.
    DATA_FULL = 143, "The disk is full";
    /// The stored data is damaged.
    DATA_DAMAGED = 144, "The stored data is damaged";
    /// The database cannot be reached.
    DATA_UNREACHABLE = 145, "The database cannot be reached";
    /// The data is of an older format, and bringing it to this one is not done unasked.
    DATA_OLDER = 146, "The data is from an older release";
    /// A restore into this data was begun and not finished.
    DATA_RESTORING = 147, "A restore is not finished";
    /// A backup is cut off, changed, or no backup.
    BACKUP_DAMAGED = 148, "The backup is damaged";
    /// A restore only fills what is empty.
    RESTORE_TARGET = 149, "The target of the restore is not empty";
    /// The port is in use.
    PORT_IN_USE = 150, "The port is in use";
    /// No server answers, or it is not a Stead server.
    NO_SERVER = 151, "No server answers";
    /// A backup of a newer release.
    BACKUP_NEWER = 154, "The backup is from a newer release";
    /// The key of the backup's long texts is missing, or another.
    BACKUP_KEY = 155, "The backup's key is missing or another";
    /// The database's server offers no TLS, or not the certificate that was asked for.
    DATA_TLS = 156, "No protected connection to the database";
    /// Data that is encrypted is opened without its key, or with another.
    DATA_KEY = 157, "The key of the encrypted data is missing or another";
    /// A test of an agent would ask a real model.
    TEST_MODEL = 160, "A test asks no real model";
    /// A cassette cannot be read.
    CASSETTE_READ = 161, "The cassette cannot be read";
    /// A call is not the one that was recorded.
    CASSETTE_MISMATCH = 162, "The call is not the recorded one";
    /// A cassette has no further reply.
    CASSETTE_ENDED = 163, "The cassette has no further reply";
    /// The folder that was named for a wrapped server holds something else.
    WRAP_FOLDER = 170, "The folder is not one of stead wrap";
    /// A session of a wrapped server has made as many calls as it may.
    WRAP_CALLS = 171, "The session has made all its calls";
    /// Whoever made the call of a wrapped server is not there any more.
    WRAP_GONE = 172, "The session that made the call has ended";
    /// As many sessions of one name run as there may.
    WRAP_PLACES = 173, "Too many sessions of one name";
    // 180-189: answers and providers' limits
    /// The run's answer does not satisfy the output's JSON Schema, and no repair turn is left.
    ANSWER_SCHEMA = 180, "The answer does not fit the output's schema";
    /// A model call waits until its provider may be asked again.
    PROVIDER_LIMIT = 181, "The model provider's limit is reached";
    // 190-199: secrets and artifacts
    /// The file of secrets could not be read or written.
    SECRETS_FILE = 190, "The file of secrets cannot be read or written";
    /// The file of secrets is damaged, cut off, or was changed by something else.
    SECRETS_DAMAGED = 191, "The file of secrets is damaged";
    /// The key of the file of secrets is missing, unusable, or another.
    SECRETS_KEY = 192, "The key of the secrets is missing or another";
    /// The file of secrets was written by a newer release.
    SECRETS_NEWER = 193, "The file of secrets is from a newer release";
    /// A name or a value that cannot be a secret's.
    SECRET_VALUE = 194, "The secret cannot be kept";
    /// There is no secret of that name.
    SECRET_MISSING = 195, "There is no secret of that name";
    /// A vault does not answer, or refuses.
    SECRETS_VAULT = 196, "The vault of secrets cannot be asked";
    // 200-239: API
    /// No or wrong credentials.
    UNAUTHENTICATED = 200, "Not authenticated";
    /// The request is malformed.
    BAD_REQUEST = 201, "The request is malformed";
    /// No such thing.
    NOT_FOUND = 202, "Not found";
    /// The body is larger than the limit.
    TOO_LARGE = 203, "The request body is too large";
    /// The idempotency key was used for another request.
    IDEMPOTENCY = 204, "The idempotency key was used for another request";
    /// Too much is waiting already.
    OVERLOADED = 205, "The server is overloaded";
    /// The server is draining.
    DRAINING = 206, "The server is shutting down";
    /// A bug.
    INTERNAL = 207, "Internal error";
    /// JSON nested deeper than the limit.
    TOO_DEEP = 208, "The JSON is nested too deeply";
    /// The caller's token does not allow it.
    FORBIDDEN = 209, "Not allowed";
    /// A session's key is one of several agents.
    SESSION_AMBIGUOUS = 210, "Several agents have a session of that key";
    /// The beginning of a version is that of several.
    VERSION_AMBIGUOUS = 215, "Several versions begin like that";
    /// There is nothing to go back to.
    NOTHING_EARLIER = 216, "Nothing was live before";
    /// An alias is not moved: it must name something, somebody else moved it, or the agent has too many.
    ALIAS_REFUSED = 217, "The alias is not moved";
    /// A run's input does not satisfy the JSON Schema of its agent version.
    INPUT_SCHEMA = 218, "The input does not fit the agent's schema";
    /// A policy set is not confirmed: it waits for nobody, for somebody else, or a later one is in force.
    POLICY_CONFIRM = 219, "The policy set is not confirmed";
    // 220-229: sandboxes
    /// The sandbox tier cannot be given on this host.
    SANDBOX_UNAVAILABLE = 220, "The sandbox tier cannot be given here";
    /// The tier cannot promise a property that is required.
    SANDBOX_LACKS = 221, "The sandbox tier lacks a required property";
    /// No box can be made of what was asked.
    SANDBOX_SPEC = 222, "The sandbox cannot be made as asked";
    /// The box stood, but its command did not start.
    SANDBOX_COMMAND = 223, "The command cannot be started in the sandbox";
    /// As many boxes as there may be are there.
    SANDBOX_BUSY = 224, "Too many sandboxes at once";
    /// The process that holds the boxes is gone.
    SANDBOX_LOST = 225, "The sandbox was lost";
    /// The action needed more memory than it may have.
    SANDBOX_MEMORY = 226, "The sandbox ran out of memory";
    /// The action took longer than it may.
    SANDBOX_DEADLINE = 227, "The sandbox reached its deadline";
    /// The action wrote more than is kept.
    SANDBOX_OUTPUT = 228, "The sandbox wrote too much";
    // 240-249: workspaces
    /// A workspace would have more files, bytes, levels or longer names than it may.
    WORKSPACE_LIMIT = 240, "The workspace is too large";
    /// Something that no workspace may hold: a device, a mark that only the kernel makes, a link from outside.
    WORKSPACE_FORGED = 241, "The workspace holds something forbidden";
    /// A part of a stored workspace is missing or is not what it was.
    WORKSPACE_DAMAGED = 242, "The stored workspace is damaged";
    /// The path cannot be one of a workspace, or does not lead to what was asked for.
    WORKSPACE_PATH = 243, "The path does not fit the workspace";
    /// The archive is broken, or would write where it may not.
    ARCHIVE_REFUSED = 244, "The archive is refused";
    /// The disk on which workspaces are made does not do what it is asked.
    WORKSPACE_DISK = 245, "The workspace cannot be read or written";
    /// A workspace changed while it was read, so something still wrote to it.
    WORKSPACE_MOVED = 246, "The workspace changed while it was read";
    // 250-269: egress
    /// No rule lets the box reach that.
    EGRESS_DENIED = 250, "No egress rule allows it";
    /// An allowed name leads to addresses that no rule names.
    EGRESS_ADDRESS = 251, "The name leads to an internal address";
    /// A host that is not plainly one name: an address, a user before it, a dot behind it, two that differ.
    EGRESS_HOST = 252, "The host is not plainly named";
    /// What came in is not a request that the proxy takes.
    EGRESS_MALFORMED = 253, "The proxy does not take such a request";
    /// The TLS hello in a tunnel does not name the tunnel's host.
    EGRESS_SNI = 254, "TLS names another host";
    /// The stand-in of a secret was sent where the secret does not go.
    EGRESS_PLACEHOLDER = 255, "A secret's placeholder was sent elsewhere";
    /// A secret could not be put in.
    EGRESS_SECRET = 256, "The secret could not be put in";
    /// The host could not be reached, or spoke no HTTP.
    EGRESS_UNREACHABLE = 257, "The host could not be reached";
    /// The host's certificate is not trusted.
    EGRESS_CERTIFICATE = 258, "The host's certificate is not trusted";
    /// A bound of the proxy.
    EGRESS_LIMIT = 259, "A limit of the egress proxy was reached";
    /// A change of protocol that no rule allows.
    EGRESS_UPGRADE = 260, "The change of protocol is not allowed";
    /// A rule cannot be used.
    EGRESS_RULE = 261, "The egress rule is wrong";
    /// An answer in which secrets could not be searched for.
    EGRESS_ANSWER = 262, "The answer could not be searched for secrets";
    /// Somebody took too long.
    EGRESS_TIMEOUT = 263, "The egress proxy waited too long";
    /// A path that servers read in different ways.
    EGRESS_PATH = 264, "The path is ambiguous";
    /// The rules changed while it went on.
    EGRESS_REVOKED = 265, "The egress rules changed meanwhile";
    // 270-279: secrets, continued
    /// A secret is no JSON object, or has no field of that name.
    SECRET_FIELD = 270, "The secret has no such field";
    // 300-309: actions in sandboxes
    /// The host was short of memory, and this box held most of what it was given.
    BOX_STOPPED = 300, "The sandbox was stopped to keep the host usable";
    /// As many actions wait for a box as may.
    BOX_QUEUE = 301, "Too many actions wait for a sandbox";
    // 310-319: what an operator lets sandboxes be
    /// A tool would run outside of any sandbox.
    SANDBOX_DENIED = 310, "Not without a sandbox";
    /// A manifest asks for more than the operator gives.
    SANDBOX_BOUNDS = 311, "More than a sandbox may have here";
    /// A manifest names a root that there is not.
    SANDBOX_ROOT = 312, "No such root for sandboxes";
    /// A manifest asks for a tier that the operator does not offer.
    SANDBOX_TIER = 313, "The sandbox tier is not offered here";
    /// A run has no workspace, or there is no such file in it.
    WORKSPACE_NOTHING = 314, "Nothing there in the workspace";
    // 320-339: session sandboxes
    /// The sandbox has ended.
    SESSION_SANDBOX_GONE = 320, "The session sandbox is gone";
    /// No template has that name.
    SANDBOX_TEMPLATE = 321, "There is no such sandbox template";
    /// As many sandboxes, commands or watches as there may be are there.
    SESSION_SANDBOXES_FULL = 322, "Too many session sandboxes, commands or watches";
    /// More or other than the template allows.
    SESSION_SANDBOX_REFUSED = 323, "The sandbox template does not allow it";
    /// The path leads to something else than was asked for, or out.
    SANDBOX_FILE = 324, "The file of the sandbox cannot be reached so";
    /// The command takes no input.
    SANDBOX_INPUT = 325, "The command takes no input";
    /// Nothing here makes the sandbox stand still.
    SANDBOX_STILL = 326, "The sandbox cannot be made to stand still";
    /// The disk of the sandbox is used up, or the file is too long.
    SANDBOX_FILE_ROOM = 327, "There is no room for the file";
    // 340-359: identity, and what operators turn off
    /// An operator turned it off, or revoked whose it is.
    DISABLED = 340, "An operator turned it off";
    /// The token of an identity provider is not believed.
    TOKEN_REFUSED = 341, "The identity token is refused";
    /// The identity provider does not answer, or not as it should.
    PROVIDER_UNREACHABLE = 342, "The identity provider cannot be asked";
    /// Nobody is logged in, or the login is over.
    LOGIN = 343, "The login did not succeed";
    /// The operator lets no delegated token be made for that audience, or not for that place.
    AUDIENCE = 344, "No delegated token may be made for that audience";
    /// A delegated token cannot be had.
    DELEGATED_TOKEN = 345, "A delegated token cannot be had";
    /// A grant between agents does not hold what was wanted, or has ended.
    GRANT = 346, "The grant does not hold it";
    /// The person on whose behalf a run works has to say that it may go on.
    DELEGATION = 347, "The delegation has expired";
    // 360-369: the audit log
    /// What is kept, or was shown, is not what was signed.
    AUDIT_BROKEN = 360, "The audit log does not hold";
    /// A legal hold covers what was to be erased or removed.
    HELD = 361, "A legal hold refuses it";
    /// What is to be erased is still being written.
    SUBJECT_AT_WORK = 362, "Runs of the person have not ended";
    /// An erasure goes on, or could not go on.
    ERASURE_UNFINISHED = 363, "An erasure is not finished";
    /// A certificate of an erasure does not say what it should, or is not signed by the log.
    CERTIFICATE = 364, "The certificate of an erasure does not hold";
    /// A file that says what was erased cannot be read.
    ERASURES_FILE = 365, "The file of erasures cannot be used";
    /// A tenant has as many legal holds in force as it may.
    TOO_MANY_HOLDS = 366, "There are too many legal holds";
    // 367-369: keys of persons, under which backups are sealed
    /// A sealed backup is to be restored, and keys of persons are missing.
    BACKUP_SEALED = 367, "Texts of the backup cannot be opened without their keys";
    /// A file of subject keys cannot be read or written, or is another store's.
    SUBJECT_KEYS = 368, "The file of subject keys cannot be used";
    /// What stands where a file of subject keys is to be written must stay.
    SUBJECT_KEYS_KEPT = 369, "The file of subject keys is not replaced";
    // 370-379: signed approvals, and the page for them
    /// A yes came without a signature where it counts only with one.
    APPROVAL_UNSIGNED = 370, "A yes to this counts only with a signature";
    /// The signature under an answer does not count.
    APPROVAL_SIGNATURE = 371, "The signature does not count";
    /// An entry cannot be added to a directory of approvers.
    APPROVER_ENTRY = 372, "The entry of the directory of approvers is refused";
    /// A key of an approver cannot be read or made.
    APPROVER_KEY = 373, "The approver's key cannot be used";
    /// A file of evidence does not show what it should.
    APPROVAL_EVIDENCE = 374, "The evidence of an approval does not hold";
    /// A gate asks for a person whom their authenticator has verified, and the signature shows none.
    APPROVAL_PERSON = 375, "The approval takes a person whom their authenticator has verified";
    /// A request of the approval page has no session that counts.
    PAGE_SESSION = 376, "The browser is not signed in";
    /// What a browser would sign in with does not count, or counts no longer.
    PAGE_LINK = 377, "The sign-in link does not count";
    /// A request of the approval page comes from somewhere else.
    PAGE_ORIGIN = 378, "The request does not come from this server's page";
    /// A request to enrol a passkey does not hold.
    PASSKEY_REQUEST = 379, "The passkey's request cannot be used";
    // 380-392: what people are asked, told of it and shown before
    /// A run has put as many questions to people as it may, in all or at once.
    ASKS_FULL = 380, "The run may ask people nothing more";
    /// A notice could not be sent.
    NOTICE_UNSENT = 381, "The notice could not be sent";
    /// No notice has that name.
    NOTICE_UNKNOWN = 382, "There is no such notice";
    /// What people were shown before an action is not so any more when it is to be done.
    PREVIEW_CHANGED = 386, "What was shown is not so any more";
    /// A look at what an action would do came to nothing.
    PREVIEW_NONE = 387, "It could not be told what this would do";
    // 400-409: what is told of runs
    /// A collector did not take the spans of a run.
    COLLECTOR = 400, "The collector did not take the spans";
    // 410-429: faces for clients of other protocols
    /// A request of a face asks for something that would change what is done, and is not done there.
    FACE_PARAMETER = 410, "The parameter is not taken here";
    /// A client wants to give an agent tools.
    FACE_TOOLS = 411, "An agent takes no tools from its caller";
    /// A client goes on from a response that is not the last of its session.
    FACE_ORDER = 412, "The session has gone on since";
    /// A client wants to change or delete what is on record.
    FACE_KEPT = 413, "What is on record is not changed or deleted here";
    /// A client waits for an answer that takes longer than a request may.
    FACE_PATIENCE = 414, "The run takes longer than a request may wait";
    /// What a client was streamed of a reply came to nothing.
    FACE_TURNED = 415, "What was streamed does not count";
    /// A client asks a gateway for a model that is not its own.
    FACE_MODEL = 416, "The model is not the gateway's";
    /// A token is not for what a client wants with it: it names no gateway, or a gateway and nothing else.
    FACE_TOKEN = 417, "The token is not for this";
    // 430-439: authorization of MCP servers
    /// An MCP server wants a token that only a person's consent gives.
    MCP_UNAUTHORIZED = 430, "An MCP server wants to be authorised";
    /// Authorization of an MCP server was refused, or would not be safe.
    MCP_AUTHORIZATION = 431, "An MCP server's authorization cannot be used";
}

impl Code {
    /// The code's title, or the empty text for a number that is not assigned.
    pub fn title(self) -> &'static str {
        ALL.iter().find(|(c, _)| *c == self).map_or("", |(_, t)| t)
    }
}
