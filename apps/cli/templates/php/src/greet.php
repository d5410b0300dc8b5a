<?php

declare(strict_types=1);

/** The event that answers $event. */
function greet(array $event, array $config): array
{
    $name = $event['data']['name'] ?? 'world';

    return ['type' => 'com.example.greeted', 'data' => ['text' => "{$config['greeting']}, {$name}!"]];
}
