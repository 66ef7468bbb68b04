//! The grammar of the command line.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

use crate::commands::{
    agents::Agents,
    approvals::Approvals,
    audit::Audit,
    backup::Backup,
    budgets::Budgets,
    chat::Chat,
    completions::Completions,
    data::Data,
    demo::Demo,
    demo_service::DemoService,
    dev::Dev,
    doctor::Doctor,
    errors::Errors,
    identity::Identity,
    init::Init,
    login::{Login, Logout, Whoami},
    migrate::Migrate,
    policy::Policy,
    restore::RestoreArgs,
    run::Run,
    runs::Runs,
    sandboxes::Sandboxes,
    schema::Schema,
    secrets::Secrets,
    serve::Serve,
    sessions::Sessions,
    switches::{Disable, Enable, ListSwitches},
    test::Test,
    test_runtime::TestRuntime,
    tokens::Tokens,
    usage::Usage,
    with_parent::WithParent,
    wrap::Wrap,
};

/// Runs AI agents durably: what an agent did is journaled, survives a crash, and is never done twice.
#[derive(Debug, Parser)]
#[command(name = "stead", version, max_term_width = 100, subcommand_required = true, arg_required_else_help = true)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// Options of every command.
#[derive(Clone, Debug, Args)]
pub(crate) struct Global {
    /// Folder of the journal; a server that owns it is found through it
    #[arg(long, global = true, value_name = "DIR", env = "STEAD_DATA", default_value = ".stead")]
    pub(crate) data: PathBuf,
    /// Talk to this server; the token is taken from STEAD_TOKEN, else from the data folder
    #[arg(long, global = true, value_name = "URL", env = "STEAD_SERVER")]
    pub(crate) server: Option<String>,
    /// Write JSON to stdout, and why the command failed as JSON to the last line of stderr
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// Say nothing on stderr but errors and questions
    #[arg(long, short, global = true)]
    pub(crate) quiet: bool,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Demo(Demo),
    Run(Run),
    Chat(Chat),
    Dev(Dev),
    Serve(Serve),
    Wrap(Wrap),
    Agents(Agents),
    Sessions(Sessions),
    Runs(Runs),
    Sandboxes(Sandboxes),
    Approvals(Approvals),
    Init(Init),
    Policy(Policy),
    Audit(Audit),
    Test(Test),
    Identity(Identity),
    Tokens(Tokens),
    Login(Login),
    Logout(Logout),
    Whoami(Whoami),
    Budgets(Budgets),
    Disable(Disable),
    Enable(Enable),
    Switches(ListSwitches),
    Usage(Usage),
    Secrets(Secrets),
    Backup(Backup),
    Restore(RestoreArgs),
    Migrate(Migrate),
    Data(Data),
    Doctor(Doctor),
    Errors(Errors),
    Schema(Schema),
    Completions(Completions),
    DemoService(DemoService),
    TestRuntime(TestRuntime),
    WithParent(WithParent),
    /// Write the reference of the command line, docs/cli.md, to stdout
    #[command(hide = true)]
    Markdown,
    /// Write the manual pages, one for each command, into a folder
    #[command(hide = true)]
    ManPages {
        /// The folder, made when it does not exist
        dir: PathBuf,
    },
}
