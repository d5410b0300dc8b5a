<?php

// One event on stdin, a page on stdout.

declare(strict_types=1);

require __DIR__ . '/subject.php';
require __DIR__ . '/page.php';

const EX_DATAERR = 65; // the event is wrong, and no retry will mend it

try {
    $event = json_decode(stream_get_contents(STDIN), true, 64, JSON_THROW_ON_ERROR);
    $config = json_decode(getenv('FN_CONFIG') ?: '{}', true, 16, JSON_THROW_ON_ERROR);
    $subject = Subject::fromPayload($event['data'] ?? null);
    echo json_encode([
        'type' => 'com.example.page',
        'subject' => "{$subject->repository}#{$subject->number}",
        'datacontenttype' => 'text/html',
        'data' => renderPage($subject, $config['language'] ?? 'en'),
    ], JSON_THROW_ON_ERROR | JSON_INVALID_UTF8_SUBSTITUTE), "\n";
} catch (InvalidPayload $e) {
    fwrite(STDERR, $e->getMessage() . "\n");
    exit(EX_DATAERR);
}
