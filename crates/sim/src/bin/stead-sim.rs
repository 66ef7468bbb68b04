//! Runs simulated histories: `stead-sim [--profile core|engine] [--histories N] [--seed N] [--trace]`.
//!
//! With `--seed` and no `--histories` it lives that one history; `--trace` prints what happens in it. Exit code 0 when
//! every check held, 1 when one failed, 2 for wrong arguments.

use std::{process::ExitCode, time::Instant};

use stead_sim::{
    failure::{Profile, Summary},
    fleet,
};

/// Histories without further arguments.
const HISTORIES: u64 = 100_000;

struct Args {
    profile: Profile,
    first: u64,
    histories: u64,
    trace: bool,
}

fn parse(mut args: impl Iterator<Item = String>) -> Result<Args, String> {
    let (mut profile, mut seed, mut histories, mut trace) = (Profile::Core, None, None, false);
    while let Some(arg) = args.next() {
        let mut value = || args.next().ok_or(format!("{arg} needs a value"));
        let number = |text: String| text.parse::<u64>().map_err(|_| format!("`{text}` is not a number"));
        match arg.as_str() {
            "--profile" => {
                profile = match value()?.as_str() {
                    "core" => Profile::Core,
                    "engine" => Profile::Engine,
                    other => return Err(format!("unknown profile `{other}`: core or engine")),
                }
            }
            "--seed" => seed = Some(number(value()?)?),
            "--histories" => histories = Some(number(value()?)?),
            "--trace" => trace = true,
            other => return Err(format!("unknown argument `{other}`")),
        }
    }
    let histories = histories.unwrap_or(if seed.is_some() { 1 } else { HISTORIES });
    Ok(Args { profile, first: seed.unwrap_or(0), histories, trace })
}

fn main() -> ExitCode {
    let args = match parse(std::env::args().skip(1)) {
        Ok(args) => args,
        Err(why) => {
            eprintln!("{why}\nusage: stead-sim [--profile core|engine] [--histories N] [--seed N] [--trace]");
            return ExitCode::from(2);
        }
    };
    let begun = Instant::now();
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    match fleet::many(args.profile, args.first, args.histories, threads, args.trace) {
        Ok(summary) => {
            report(&args, &summary, begun.elapsed().as_secs_f64());
            ExitCode::SUCCESS
        }
        Err(failure) => {
            eprintln!("{failure}");
            ExitCode::FAILURE
        }
    }
}

fn report(args: &Args, s: &Summary, seconds: f64) {
    println!(
        "{} {} histories from seed {}: every check held ({seconds:.1} s)",
        args.histories,
        args.profile.as_str(),
        args.first
    );
    println!(
        "{} runs, {} records, {} events, {} crashes and takeovers, {} zombie appends refused, {} requests, {} unknown effects",
        s.runs, s.records, s.events, s.crashes, s.fenced, s.requests, s.unknown
    );
    println!("digest {:016x}", s.digest);
}
