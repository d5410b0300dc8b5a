//! What secrets look like.

/// One kind of secret: what it begins with, what may follow, and how much of that there must be.
pub struct Rule {
    pub name: &'static str,
    pub prefix: &'static str,
    pub alphabet: fn(char) -> bool,
    pub min: usize,
    pub max: usize,
}

fn upper(c: char) -> bool {
    c.is_ascii_uppercase() || c.is_ascii_digit()
}

fn word(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_'
}

fn url_safe(c: char) -> bool {
    word(c) || c == '-'
}

pub const RULES: &[Rule] = &[
    Rule {
        name: "aws-access-key",
        prefix: "AKIA",
        alphabet: upper,
        min: 16,
        max: 16,
    },
    Rule {
        name: "aws-temporary-key",
        prefix: "ASIA",
        alphabet: upper,
        min: 16,
        max: 16,
    },
    Rule {
        name: "github-token",
        prefix: "ghp_",
        alphabet: word,
        min: 36,
        max: 255,
    },
    Rule {
        name: "github-app-token",
        prefix: "ghs_",
        alphabet: word,
        min: 36,
        max: 255,
    },
    Rule {
        name: "github-fine-grained-token",
        prefix: "github_pat_",
        alphabet: word,
        min: 60,
        max: 255,
    },
    Rule {
        name: "slack-token",
        prefix: "xoxb-",
        alphabet: url_safe,
        min: 24,
        max: 255,
    },
    Rule {
        name: "google-api-key",
        prefix: "AIza",
        alphabet: url_safe,
        min: 35,
        max: 35,
    },
    Rule {
        name: "npm-token",
        prefix: "npm_",
        alphabet: word,
        min: 36,
        max: 36,
    },
    Rule {
        name: "nats-seed",
        prefix: "SU",
        alphabet: upper,
        min: 56,
        max: 56,
    },
];

/// First line of a private key in PEM.
pub const PEM: (&str, &str) = ("-----BEGIN ", "PRIVATE KEY-----");

/// Shannon entropy in bits per character: what people make up for examples repeats itself.
pub fn entropy(text: &str) -> f64 {
    let mut counts = [0u32; 128];
    for byte in text.bytes().filter(u8::is_ascii) {
        counts[usize::from(byte)] += 1;
    }
    let total = f64::from(counts.iter().sum::<u32>());
    counts
        .iter()
        .filter(|&&count| count > 0)
        .map(|&count| f64::from(count) / total)
        .map(|p| -p * p.log2())
        .sum()
}
