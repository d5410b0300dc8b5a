<?php

// Reads one event from stdin, writes events to stdout.

declare(strict_types=1);

require __DIR__ . '/greet.php';

$event = json_decode(stream_get_contents(STDIN), true, 64, JSON_THROW_ON_ERROR);
fwrite(STDERR, "greeting, for {$event['source']}\n");
echo json_encode(greet($event, json_decode(getenv('FN_CONFIG') ?: '{}', true)), JSON_THROW_ON_ERROR), "\n";
