//! Runs simulated histories: `stead-sim [--profile core|engine] [--histories N] [--seed N] [--trace]`.
//!
//! Without arguments it lives 100,000 histories of the machine and 2,000 of the engine. With `--seed` and no
//! `--histories` it lives that one history; `--trace` prints what happens in it when a check fails. Exit code 0 when
//! every check held, 1 when one failed, 2 for wrong arguments.

use std::{process::ExitCode, time::Instant};

use stead_sim::{
    failure::{Profile, Summary},
    fleet,
};

struct Args {
    profile: Option<Profile>,
    seed: Option<u64>,
    histories: Option<u64>,
    trace: bool,
}

fn parse(mut args: impl Iterator<Item = String>) -> Result<Args, String> {
    let mut out = Args { profile: None, seed: None, histories: None, trace: false };
    while let Some(arg) = args.next() {
        let mut value = || args.next().ok_or(format!("{arg} needs a value"));
        let number = |text: String| text.parse::<u64>().map_err(|_| format!("`{text}` is not a number"));
        match arg.as_str() {
            "--profile" => {
                out.profile = Some(match value()?.as_str() {
                    "core" => Profile::Core,
                    "engine" => Profile::Engine,
                    other => return Err(format!("unknown profile `{other}`: core or engine")),
                })
            }
            "--seed" => out.seed = Some(number(value()?)?),
            "--histories" => out.histories = Some(number(value()?)?),
            "--trace" => out.trace = true,
            other => return Err(format!("unknown argument `{other}`")),
        }
    }
    if out.seed.is_some() && out.profile.is_none() {
        out.profile = Some(Profile::Core);
    }
    Ok(out)
}

/// How many histories of a profile are lived when nobody says.
const fn usual(profile: Profile) -> u64 {
    match profile {
        Profile::Core => 100_000,
        Profile::Engine => 2_000,
    }
}

fn main() -> ExitCode {
    let args = match parse(std::env::args().skip(1)) {
        Ok(args) => args,
        Err(why) => {
            eprintln!("{why}\nusage: stead-sim [--profile core|engine] [--histories N] [--seed N] [--trace]");
            return ExitCode::from(2);
        }
    };
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let profiles = args.profile.map_or(vec![Profile::Core, Profile::Engine], |p| vec![p]);
    for profile in profiles {
        let begun = Instant::now();
        let first = args.seed.unwrap_or(0);
        let histories = args.histories.unwrap_or(if args.seed.is_some() { 1 } else { usual(profile) });
        match fleet::many(profile, first, histories, threads, args.trace) {
            Ok(summary) => report(profile, first, histories, &summary, begun.elapsed().as_secs_f64()),
            Err(failure) => {
                eprintln!("{failure}");
                return ExitCode::FAILURE;
            }
        }
    }
    ExitCode::SUCCESS
}

fn report(profile: Profile, first: u64, histories: u64, s: &Summary, seconds: f64) {
    println!("{histories} histories of the {} from seed {first}: every check held ({seconds:.1} s)", profile.as_str());
    println!(
        "  {} runs, {} records, {} crashes and takeovers, {} stores lost and restored, {} zombie appends refused, {} requests, \
         {} unknown effects",
        s.runs, s.records, s.crashes, s.restores, s.fenced, s.requests, s.unknown
    );
    println!("  digest {:016x}", s.digest);
}
