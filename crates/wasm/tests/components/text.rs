//! Components as text: around a core module's `run` stand the interfaces of the system, lowered to functions of the module.

/// What each component here imports, as far as it calls it.
const HEAD: &str = r#"
  (import "wasi:io/error@0.2.0" (instance $io-error (export "error" (type (sub resource)))))
  (alias export $io-error "error" (type $error))
  (import "wasi:io/streams@0.2.0" (instance $streams
    (alias outer 1 $error (type $e))
    (export "output-stream" (type $output (sub resource)))
    (export "input-stream" (type $input (sub resource)))
    (type $failure' (variant (case "last-operation-failed" (own $e)) (case "closed")))
    (export "stream-error" (type $failure (eq $failure')))
    (export "[method]output-stream.blocking-write-and-flush"
      (func (param "self" (borrow $output)) (param "contents" (list u8)) (result (result (error $failure)))))
    (export "[method]input-stream.blocking-read"
      (func (param "self" (borrow $input)) (param "len" u64) (result (result (list u8) (error $failure)))))))
  (alias export $streams "output-stream" (type $output))
  (alias export $streams "input-stream" (type $input))
  (import "wasi:cli/stdout@0.2.0" (instance $stdout
    (alias outer 1 $output (type $o)) (export "output-stream" (type $output (eq $o)))
    (export "get-stdout" (func (result (own $output))))))
  (import "wasi:cli/stderr@0.2.0" (instance $stderr
    (alias outer 1 $output (type $o)) (export "output-stream" (type $output (eq $o)))
    (export "get-stderr" (func (result (own $output))))))
  (import "wasi:cli/stdin@0.2.0" (instance $stdin
    (alias outer 1 $input (type $i)) (export "input-stream" (type $input (eq $i)))
    (export "get-stdin" (func (result (own $input))))))
  (import "wasi:cli/exit@0.2.0" (instance $exit (export "exit" (func (param "status" (result))))))
  (import "wasi:cli/environment@0.2.0" (instance $environment
    (export "get-environment" (func (result (list (tuple string string)))))
    (export "get-arguments" (func (result (list string))))))
  (import "wasi:filesystem/types@0.2.0" (instance $files
    (export "descriptor" (type $descriptor (sub resource)))
    (type $code' (enum "access" "would-block" "already" "bad-descriptor" "busy" "deadlock" "quota" "exist"
      "file-too-large" "illegal-byte-sequence" "in-progress" "interrupted" "invalid" "io" "is-directory" "loop"
      "too-many-links" "message-size" "name-too-long" "no-device" "no-entry" "no-lock" "insufficient-memory"
      "insufficient-space" "not-directory" "not-empty" "not-recoverable" "unsupported" "no-tty" "no-such-device"
      "overflow" "not-permitted" "pipe" "read-only" "invalid-seek" "text-file-busy" "cross-device"))
    (export "error-code" (type $code (eq $code')))
    (type $how' (flags "symlink-follow"))
    (export "path-flags" (type $how (eq $how')))
    (type $open' (flags "create" "directory" "exclusive" "truncate"))
    (export "open-flags" (type $open (eq $open')))
    (type $may' (flags "read" "write" "file-integrity-sync" "data-integrity-sync" "requested-write-sync"
      "mutate-directory"))
    (export "descriptor-flags" (type $may (eq $may')))
    (export "[method]descriptor.open-at" (func (param "self" (borrow $descriptor)) (param "path-flags" $how)
      (param "path" string) (param "open-flags" $open) (param "flags" $may)
      (result (result (own $descriptor) (error $code)))))
    (export "[method]descriptor.read" (func (param "self" (borrow $descriptor)) (param "length" u64)
      (param "offset" u64) (result (result (tuple (list u8) bool) (error $code)))))
    (export "[method]descriptor.unlink-file-at" (func (param "self" (borrow $descriptor)) (param "path" string)
      (result (result (error $code)))))))
  (alias export $files "descriptor" (type $descriptor))
  (import "wasi:filesystem/preopens@0.2.0" (instance $preopens
    (alias outer 1 $descriptor (type $d)) (export "descriptor" (type $descriptor (eq $d)))
    (export "get-directories" (func (result (list (tuple (own $descriptor) string)))))))

  (core module $Libc
    (memory (export "memory") 2)
    (global $next (mut i32) (i32.const 65536))
    (func (export "realloc") (param i32 i32 i32 i32) (result i32)
      (global.set $next (i32.and (i32.add (global.get $next) (i32.const 15)) (i32.const -16)))
      (global.get $next)
      (global.set $next (i32.add (global.get $next) (local.get 3)))))
  (core instance $libc (instantiate $Libc))
  (alias core export $libc "memory" (core memory $memory))
  (alias core export $libc "realloc" (core func $realloc))
  (core func $write (canon lower (func $streams "[method]output-stream.blocking-write-and-flush") (memory $memory)))
  (core func $read-in (canon lower (func $streams "[method]input-stream.blocking-read")
    (memory $memory) (realloc $realloc)))
  (core func $get-stdout (canon lower (func $stdout "get-stdout")))
  (core func $get-stderr (canon lower (func $stderr "get-stderr")))
  (core func $get-stdin (canon lower (func $stdin "get-stdin")))
  (core func $leave (canon lower (func $exit "exit")))
  (core func $get-environment (canon lower (func $environment "get-environment") (memory $memory) (realloc $realloc)))
  (core func $get-arguments (canon lower (func $environment "get-arguments") (memory $memory) (realloc $realloc)))
  (core func $open (canon lower (func $files "[method]descriptor.open-at") (memory $memory)))
  (core func $read (canon lower (func $files "[method]descriptor.read") (memory $memory) (realloc $realloc)))
  (core func $unlink (canon lower (func $files "[method]descriptor.unlink-file-at") (memory $memory)))
  (core func $get-directories (canon lower (func $preopens "get-directories") (memory $memory) (realloc $realloc)))
"#;

/// The functions as the module has them. Those with results in memory take the place of the result last.
const MODULE: &str = r#"
  (core module $Main
    (import "libc" "memory" (memory 2))
    (import "host" "write" (func $write (param i32 i32 i32 i32)))
    (import "host" "read-in" (func $read-in (param i32 i64 i32)))
    (import "host" "get-stdout" (func $get-stdout (result i32)))
    (import "host" "get-stderr" (func $get-stderr (result i32)))
    (import "host" "get-stdin" (func $get-stdin (result i32)))
    (import "host" "exit" (func $exit (param i32)))
    (import "host" "get-environment" (func $get-environment (param i32)))
    (import "host" "get-arguments" (func $get-arguments (param i32)))
    (import "host" "open" (func $open (param i32 i32 i32 i32 i32 i32 i32)))
    (import "host" "read" (func $read (param i32 i64 i64 i32)))
    (import "host" "unlink" (func $unlink (param i32 i32 i32 i32)))
    (import "host" "get-directories" (func $get-directories (param i32)))
    ;; Says bytes of memory.
    (func $say (param i32 i32) (call $write (call $get-stdout) (local.get 0) (local.get 1) (i32.const 64)))
    ;; Says a letter: A for 0.
    (func $letter (param i32)
      (i32.store8 (i32.const 80) (i32.add (local.get 0) (i32.const 65)))
      (call $say (i32.const 80) (i32.const 1)))
"#;

const TAIL: &str = r#"
  )
  (core instance $main (instantiate $Main
    (with "libc" (instance $libc))
    (with "host" (instance
      (export "write" (func $write)) (export "read-in" (func $read-in)) (export "get-stdout" (func $get-stdout))
      (export "get-stderr" (func $get-stderr)) (export "get-stdin" (func $get-stdin)) (export "exit" (func $leave))
      (export "get-environment" (func $get-environment)) (export "get-arguments" (func $get-arguments))
      (export "open" (func $open)) (export "read" (func $read)) (export "unlink" (func $unlink))
      (export "get-directories" (func $get-directories))))))
  (func $run (result (result)) (canon lift (core func $main "run")))
  (instance $command (export "run" (func $run)))
  (export "wasi:cli/run@0.2.0" (instance $command))
"#;

/// A component whose `run` has this body, with these items of the module before it. It returns 0 for "well", 1 for "not".
pub(crate) fn with(items: &str, body: &str) -> String {
    format!("(component {HEAD} {MODULE} {items} (func (export \"run\") (result i32) {body}) {TAIL})")
}

/// One that needs nothing but its body.
pub(crate) fn run(body: &str) -> String {
    with("", body)
}

/// One that imports nothing.
pub(crate) fn alone(items: &str, body: &str) -> String {
    format!(
        "(component (core module $Main {items} (func (export \"run\") (result i32) {body}))
           (core instance $main (instantiate $Main))
           (func $run (result (result)) (canon lift (core func $main \"run\")))
           (instance $command (export \"run\" (func $run)))
           (export \"wasi:cli/run@0.2.0\" (instance $command)))"
    )
}

/// Opens what its first argument names, from its first folder on; its second argument holds two digits, the flags of the
/// opening and of what may be done. Says what stands in it, or the letter of the error.
pub(crate) fn opens() -> String {
    with(
        "",
        "(local $args i32) (local $folder i32)
         (call $get-arguments (i32.const 0))
         (local.set $args (i32.load (i32.const 0)))
         (call $get-directories (i32.const 16))
         (if (i32.eqz (i32.load (i32.const 20))) (then (return (i32.const 1))))
         (local.set $folder (i32.load (i32.load (i32.const 16))))
         (call $open (local.get $folder) (i32.const 1)
           (i32.load offset=8 (local.get $args)) (i32.load offset=12 (local.get $args))
           (i32.sub (i32.load8_u (i32.load offset=16 (local.get $args))) (i32.const 48))
           (i32.sub (i32.load8_u offset=1 (i32.load offset=16 (local.get $args))) (i32.const 48))
           (i32.const 32))
         (if (i32.load8_u (i32.const 32)) (then (call $letter (i32.load8_u (i32.const 36))) (return (i32.const 0))))
         (call $read (i32.load (i32.const 36)) (i64.const 1000) (i64.const 0) (i32.const 48))
         (if (i32.load8_u (i32.const 48)) (then (call $letter (i32.load8_u (i32.const 52))) (return (i32.const 0))))
         (call $say (i32.load (i32.const 52)) (i32.load (i32.const 56)))
         (i32.const 0)",
    )
}
