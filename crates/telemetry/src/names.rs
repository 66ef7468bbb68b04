//! Every name that spans, events and resources use, in one place and at one version. `gen_ai.*` and `error.type` are those of the
//! OpenTelemetry semantic conventions for generative AI, `openinference.*`, `llm.*`, `tool.*` and `session.id` those of OpenInference, `stead.*` our
//! own. `docs/observability.md` says what each means; a test holds both together.

/// The version of the conventions for generative AI.
pub const VERSION: &str = "1.42.0-dev";
/// Their schema, as it is told with all that is sent.
pub const SCHEMA_URL: &str = "https://opentelemetry.io/schemas/gen-ai-dev/1.42.0-dev";
/// The instrumentation that tells.
pub const SCOPE: &str = "stead";

macro_rules! names {
    ($($(#[$doc:meta])* $name:ident = $text:literal;)*) => {
        $($(#[$doc])* pub const $name: &str = $text;)*
        /// All of them.
        pub const ALL: &[&str] = &[$($text),*];
    };
}

names! {
    /// What is done: one of [`op`].
    OPERATION = "gen_ai.operation.name";
    /// The agent.
    AGENT = "gen_ai.agent.name";
    /// Its version.
    AGENT_VERSION = "gen_ai.agent.version";
    /// The session.
    CONVERSATION = "gen_ai.conversation.id";
    /// Who makes or serves the model.
    PROVIDER = "gen_ai.provider.name";
    /// The model that is asked.
    REQUEST_MODEL = "gen_ai.request.model";
    /// Most tokens that it may write.
    REQUEST_MAX_TOKENS = "gen_ai.request.max_tokens";
    /// Tokens read.
    INPUT_TOKENS = "gen_ai.usage.input_tokens";
    /// Tokens written.
    OUTPUT_TOKENS = "gen_ai.usage.output_tokens";
    /// Of those read, from a cache.
    CACHED_TOKENS = "gen_ai.usage.cache_read.input_tokens";
    /// Of those read, into a cache.
    CACHE_WRITE_TOKENS = "gen_ai.usage.cache_creation.input_tokens";
    /// Of those written, for reasoning.
    REASONING_TOKENS = "gen_ai.usage.reasoning.output_tokens";
    /// The tool.
    TOOL = "gen_ai.tool.name";
    /// `function`, or `agent` for another agent.
    TOOL_TYPE = "gen_ai.tool.type";
    /// The effect.
    TOOL_CALL = "gen_ai.tool.call.id";
    /// Its arguments.
    TOOL_ARGUMENTS = "gen_ai.tool.call.arguments";
    /// What it said.
    TOOL_RESULT = "gen_ai.tool.call.result";
    /// What an agent was asked.
    INPUT_MESSAGES = "gen_ai.input.messages";
    /// What it answered.
    OUTPUT_MESSAGES = "gen_ai.output.messages";
    /// What decides.
    GUARDRAIL = "gen_ai.guardrail.component.name";
    /// The policies that decided.
    GUARDRAIL_POLICY = "gen_ai.guardrail.policy.id";
    /// The policy set they are of.
    GUARDRAIL_POLICY_VERSION = "gen_ai.guardrail.policy.version";
    /// What kind of result it is.
    GUARDRAIL_RESULT_TYPE = "gen_ai.guardrail.result.type";
    /// The result.
    GUARDRAIL_RESULT = "gen_ai.guardrail.result.value";
    /// Our code.
    ERROR_TYPE = "error.type";
    /// `AGENT`, `LLM`, `TOOL`, `CHAIN` or `GUARDRAIL`.
    OI_KIND = "openinference.span.kind";
    /// The session, once more.
    OI_SESSION = "session.id";
    /// The model, once more.
    OI_MODEL = "llm.model_name";
    /// The provider, once more.
    OI_PROVIDER = "llm.provider";
    /// Tokens read, once more.
    OI_PROMPT = "llm.token_count.prompt";
    /// Tokens written, once more.
    OI_COMPLETION = "llm.token_count.completion";
    /// Both.
    OI_TOTAL = "llm.token_count.total";
    /// The tool, once more.
    OI_TOOL = "tool.name";
    /// What goes in.
    OI_INPUT = "input.value";
    /// What comes out.
    OI_OUTPUT = "output.value";
    /// The run.
    RUN = "stead.run";
    /// Its tenant.
    TENANT = "stead.tenant";
    /// How it stands.
    STATUS = "stead.status";
    /// The turn.
    TURN = "stead.turn";
    /// The attempt.
    ATTEMPT = "stead.attempt";
    /// US dollars; absent when the price is not known.
    COST = "stead.cost.usd";
    /// Whether tokens and cost are estimates, because nobody counted.
    ESTIMATED = "stead.cost.estimated";
    /// The effect class.
    CLASS = "stead.effect.class";
    /// How the effect ended.
    OUTCOME = "stead.effect.outcome";
    /// What of the run's plan it is: `slot` or `waits`.
    PLAN = "stead.plan";
    /// Why people are asked.
    ASK_REASON = "stead.approval.reason";
    /// What came of it.
    ASK_OUTCOME = "stead.approval.outcome";
    /// Whether one answer was a yes.
    ASK_APPROVED = "stead.approval.approved";
    /// How many have to say yes.
    ASK_QUORUM = "stead.approval.quorum";
    /// The tier of the box.
    TIER = "stead.sandbox.tier";
    /// Processor time of the box, in seconds.
    BOX_CPU = "stead.sandbox.cpu_seconds";
    /// Most memory of the box, in bytes.
    BOX_MEMORY = "stead.sandbox.memory_peak";
    /// The child run.
    CHILD = "stead.child";
    /// The run whose conversation goes on.
    BASE = "stead.base";
    /// The span has not ended.
    UNFINISHED = "stead.unfinished";
}

/// What is done ([`OPERATION`]). `plan`, `invoke_agent`, `chat`, `execute_tool` and `apply_guardrail` are those of the conventions; the others have no
/// name there.
pub mod op {
    /// A run.
    pub const AGENT: &str = "invoke_agent";
    /// An attempt at a model.
    pub const CHAT: &str = "chat";
    /// An effect.
    pub const TOOL: &str = "execute_tool";
    /// An attempt at one.
    pub const ATTEMPT: &str = "attempt_tool";
    /// The drawing of a plan.
    pub const PLAN: &str = "plan";
    /// Policies decide.
    pub const GUARDRAIL: &str = "apply_guardrail";
    /// People are asked.
    pub const APPROVAL: &str = "wait_for_approval";
    /// A look at what an effect would do.
    pub const PREVIEW: &str = "preview_tool";
    /// Old results leave the working memory.
    pub const COMPACT: &str = "compact_memory";
    /// Nothing begins until somebody says so.
    pub const PAUSE: &str = "pause";
    /// An answer that came after its effect had been settled.
    pub const LATE: &str = "late_result";
    /// All of them.
    pub const ALL: &[&str] = &[AGENT, CHAT, TOOL, ATTEMPT, PLAN, GUARDRAIL, APPROVAL, PREVIEW, COMPACT, PAUSE, LATE];
}

/// The conventions' name of a provider that a manifest names in its own way.
pub fn provider(model: &str) -> &str {
    match model.split_once(':').map_or(model, |(provider, _)| provider) {
        "openai" | "openai-responses" => "openai",
        "gemini" => "gcp.gemini",
        "azure" => "azure.ai.openai",
        "mistral" => "mistral_ai",
        "xai" => "x_ai",
        "moonshot" => "moonshot_ai",
        other => other,
    }
}

/// A model without its provider.
pub fn model(name: &str) -> &str {
    name.split_once(':').map_or(name, |(_, model)| model)
}
