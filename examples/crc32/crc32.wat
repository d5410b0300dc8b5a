;; CRC-32 (ISO 3309, as in gzip, PNG and zip) of whatever comes on stdin, printed as {"crc32":"xxxxxxxx","bytes":n}.
(module
  (import "wasi_snapshot_preview1" "fd_read" (func $fd_read (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_write" (func $fd_write (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "proc_exit" (func $proc_exit (param i32)))

  ;; 0: pointer and length for WASI, 8: what it moved, 16: the answer, 256: the table, 4096: a piece of the input
  (memory (export "memory") 2)
  (data (i32.const 16) "{\"crc32\":\"........\",\"bytes\":..........}\n")
  (global $piece i32 (i32.const 4096))
  (global $piece_size i32 (i32.const 65536))

  ;; The remainder of each byte, for the reversed polynomial.
  (func $fill_table
    (local $byte i32) (local $bit i32) (local $remainder i32)
    (loop $bytes
      (local.set $remainder (local.get $byte))
      (local.set $bit (i32.const 8))
      (loop $bits
        (local.set $remainder
          (i32.xor
            (i32.shr_u (local.get $remainder) (i32.const 1))
            (i32.mul (i32.and (local.get $remainder) (i32.const 1)) (i32.const 0xEDB88320))))
        (br_if $bits (local.tee $bit (i32.sub (local.get $bit) (i32.const 1)))))
      (i32.store offset=256 (i32.shl (local.get $byte) (i32.const 2)) (local.get $remainder))
      (br_if $bytes (i32.lt_u (local.tee $byte (i32.add (local.get $byte) (i32.const 1))) (i32.const 256)))))

  ;; Reads the next piece of stdin; gives its length, 0 at the end.
  (func $read (result i32)
    (i32.store (i32.const 0) (global.get $piece))
    (i32.store (i32.const 4) (global.get $piece_size))
    (if (call $fd_read (i32.const 0) (i32.const 0) (i32.const 1) (i32.const 8))
      (then (call $proc_exit (i32.const 1))))
    (i32.load (i32.const 8)))

  ;; The checksum so far, with one more piece.
  (func $update (param $crc i32) (param $length i32) (result i32)
    (local $at i32)
    (local.set $at (global.get $piece))
    (local.set $length (i32.add (local.get $at) (local.get $length)))
    (loop $bytes
      (local.set $crc
        (i32.xor
          (i32.shr_u (local.get $crc) (i32.const 8))
          (i32.load offset=256
            (i32.shl
              (i32.and (i32.xor (local.get $crc) (i32.load8_u (local.get $at))) (i32.const 255))
              (i32.const 2)))))
      (br_if $bytes (i32.lt_u (local.tee $at (i32.add (local.get $at) (i32.const 1))) (local.get $length))))
    (local.get $crc))

  ;; Eight hexadecimal digits.
  (func $put_hex (param $at i32) (param $value i32)
    (local $digit i32) (local $end i32)
    (local.set $end (i32.add (local.get $at) (i32.const 8)))
    (loop $digits
      (local.set $digit (i32.shr_u (local.get $value) (i32.const 28)))
      (i32.store8 (local.get $at)
        (i32.add (local.get $digit) (select (i32.const 48) (i32.const 87) (i32.lt_u (local.get $digit) (i32.const 10)))))
      (local.set $value (i32.shl (local.get $value) (i32.const 4)))
      (br_if $digits (i32.lt_u (local.tee $at (i32.add (local.get $at) (i32.const 1))) (local.get $end)))))

  ;; Ten places for a decimal number, blanks in front: JSON does not mind them there.
  (func $put_decimal (param $at i32) (param $value i32)
    (local $place i32)
    (local.set $place (i32.add (local.get $at) (i32.const 9)))
    (loop $places
      (i32.store8 (local.get $place) (i32.add (i32.const 48) (i32.rem_u (local.get $value) (i32.const 10))))
      (local.set $value (i32.div_u (local.get $value) (i32.const 10)))
      (local.set $place (i32.sub (local.get $place) (i32.const 1)))
      (br_if $places (local.get $value)))
    (block $done
      (loop $blanks
        (br_if $done (i32.lt_u (local.get $place) (local.get $at)))
        (i32.store8 (local.get $place) (i32.const 32))
        (local.set $place (i32.sub (local.get $place) (i32.const 1)))
        (br $blanks))))

  (func (export "_start")
    (local $crc i32) (local $bytes i32) (local $length i32)
    (call $fill_table)
    (local.set $crc (i32.const -1))
    (block $end
      (loop $pieces
        (br_if $end (i32.eqz (local.tee $length (call $read))))
        (local.set $crc (call $update (local.get $crc) (local.get $length)))
        (local.set $bytes (i32.add (local.get $bytes) (local.get $length)))
        (br $pieces)))
    (call $put_hex (i32.const 26) (i32.xor (local.get $crc) (i32.const -1)))
    (call $put_decimal (i32.const 44) (local.get $bytes))
    (i32.store (i32.const 0) (i32.const 16))
    (i32.store (i32.const 4) (i32.const 40))
    (drop (call $fd_write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8)))))
