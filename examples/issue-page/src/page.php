<?php

declare(strict_types=1);

/** Text for HTML: nothing that anybody wrote into an issue becomes markup. */
function html(string $text): string
{
    return htmlspecialchars($text, ENT_QUOTES | ENT_SUBSTITUTE | ENT_HTML5, 'UTF-8');
}

/** An address for an href; only the web, so that no script hides in one. */
function href(string $url): string
{
    return preg_match('~^https?://~i', $url) === 1 ? html($url) : '#';
}

/** A label's colour, or grey. */
function colour(string $hex): string
{
    return preg_match('/^[0-9a-f]{6}$/i', $hex) === 1 ? "#{$hex}" : '#888888';
}

function renderPage(Subject $subject, string $language): string
{
    ob_start();
    ?>
<!doctype html>
<html lang="<?= html($language) ?>">
<head>
<meta charset="utf-8">
<title><?= html("{$subject->title} · {$subject->repository}#{$subject->number}") ?></title>
</head>
<body>
<h1><a href="<?= href($subject->url) ?>"><?= html($subject->title) ?></a> <small>#<?= $subject->number ?></small></h1>
<p><?= html(ucfirst($subject->kind)) ?> in <?= html($subject->repository) ?> by <?= html($subject->author) ?>, <strong><?= html($subject->state) ?></strong></p>
<?php if ($subject->labels !== []) : ?>
<ul>
<?php foreach ($subject->labels as $label) : ?>
<li style="color: <?= colour($label['color']) ?>"><?= html($label['name']) ?></li>
<?php endforeach ?>
</ul>
<?php endif ?>
<?php foreach (paragraphs($subject->body) as $paragraph) : ?>
<p><?= nl2br(html($paragraph), false) ?></p>
<?php endforeach ?>
</body>
</html>
    <?php

    return trim((string) ob_get_clean()) . "\n";
}

/** @return list<string> */
function paragraphs(string $text): array
{
    $paragraphs = preg_split('/\R{2,}/', trim($text)) ?: [];

    return array_values(array_filter($paragraphs, fn (string $paragraph): bool => trim($paragraph) !== ''));
}
