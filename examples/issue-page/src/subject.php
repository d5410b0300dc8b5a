<?php

declare(strict_types=1);

/** A payload that no page can be made of. */
final class InvalidPayload extends RuntimeException
{
}

/** An issue or a pull request, as much of it as a page shows. */
final class Subject
{
    /** @param list<array{name: string, color: string}> $labels */
    private function __construct(
        public readonly string $kind,
        public readonly string $repository,
        public readonly int $number,
        public readonly string $title,
        public readonly string $state,
        public readonly string $author,
        public readonly string $url,
        public readonly string $body,
        public readonly array $labels,
    ) {
    }

    /** @throws InvalidPayload */
    public static function fromPayload(mixed $payload): self
    {
        $about = is_array($payload) ? $payload['pull_request'] ?? $payload['issue'] ?? null : null;
        if (!is_array($about) || !isset($about['number'], $about['title'], $payload['repository']['full_name'])) {
            throw new InvalidPayload('the payload is of neither an issue nor a pull request');
        }

        return new self(
            kind: isset($payload['pull_request']) ? 'pull request' : 'issue',
            repository: (string) $payload['repository']['full_name'],
            number: (int) $about['number'],
            title: (string) $about['title'],
            state: self::state($about),
            author: (string) ($about['user']['login'] ?? 'nobody'),
            url: (string) ($about['html_url'] ?? ''),
            body: (string) ($about['body'] ?? ''),
            labels: array_map(
                fn (array $label): array => ['name' => (string) ($label['name'] ?? ''), 'color' => (string) ($label['color'] ?? '')],
                array_values($about['labels'] ?? []),
            ),
        );
    }

    private static function state(array $about): string
    {
        return match (true) {
            ($about['merged'] ?? false) === true => 'merged',
            ($about['draft'] ?? false) === true => 'draft',
            default => (string) ($about['state'] ?? 'open'),
        };
    }
}
