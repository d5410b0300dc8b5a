<?php

declare(strict_types=1);

require __DIR__ . '/src/greet.php';

foreach ([['Ada', 'Hello, Ada!'], [null, 'Hello, world!']] as [$name, $text]) {
    $got = greet(['data' => $name === null ? [] : ['name' => $name]], ['greeting' => 'Hello']);
    if ($got !== ['type' => 'com.example.greeted', 'data' => ['text' => $text]]) {
        fwrite(STDERR, 'got ' . json_encode($got) . "\n");
        exit(1);
    }
}
echo "ok\n";
