;; Reads data such as {"name":"Ada"} from stdin and writes {"text":"Hello, Ada!"}: what is no event is the data of one, of the type that
;; fn.yaml emits.
(module
  (import "wasi_snapshot_preview1" "fd_read" (func $fd_read (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_write" (func $fd_write (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 2)

  ;; 0: pointer and length for fd_read and fd_write, 8: what they moved, 1024: the input, at most 64 KiB of it
  (data (i32.const 16) "{\"text\":\"Hello, ")
  (data (i32.const 48) "!\"}\n")
  (data (i32.const 64) "world")
  (data (i32.const 80) "\"name\":\"")

  (func $write (param $at i32) (param $length i32)
    (i32.store (i32.const 0) (local.get $at))
    (i32.store (i32.const 4) (local.get $length))
    (drop (call $fd_write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8))))

  (func $read (result i32)
    (local $length i32)
    (loop $more
      (i32.store (i32.const 0) (i32.add (i32.const 1024) (local.get $length)))
      (i32.store (i32.const 4) (i32.sub (i32.const 65536) (local.get $length)))
      (drop (call $fd_read (i32.const 0) (i32.const 0) (i32.const 1) (i32.const 8)))
      (local.set $length (i32.add (local.get $length) (i32.load (i32.const 8))))
      (br_if $more (i32.load (i32.const 8))))
    (local.get $length))

  ;; Whether "name":" stands at this address. The bytes behind the input are zero, so looking there finds nothing.
  (func $is_name (param $at i32) (result i32)
    (i64.eq (i64.load (local.get $at)) (i64.load (i32.const 80))))

  (func (export "_start")
    (local $at i32) (local $end i32) (local $start i32)
    (local.set $at (i32.const 1024))
    (local.set $end (i32.add (i32.const 1024) (call $read)))
    (call $write (i32.const 16) (i32.const 16))
    (block $found
      (loop $next
        (br_if $found (call $is_name (local.get $at)))
        (local.set $at (i32.add (local.get $at) (i32.const 1)))
        (br_if $next (i32.lt_u (local.get $at) (local.get $end))))
      (call $write (i32.const 64) (i32.const 5))
      (call $write (i32.const 48) (i32.const 4))
      (return))
    ;; The name ends at the next quote that no backslash stands before.
    (local.set $start (i32.add (local.get $at) (i32.const 8)))
    (local.set $at (local.get $start))
    (block $over
      (loop $next
        (br_if $over (i32.ge_u (local.get $at) (local.get $end)))
        (br_if $over (i32.eq (i32.load8_u (local.get $at)) (i32.const 34)))
        (local.set $at (i32.add (local.get $at)
          (select (i32.const 2) (i32.const 1) (i32.eq (i32.load8_u (local.get $at)) (i32.const 92)))))
        (br $next)))
    (call $write (local.get $start) (i32.sub (local.get $at) (local.get $start)))
    (call $write (i32.const 48) (i32.const 4))))
