using System.Text;
using System.Text.Encodings.Web;
using System.Text.Json;
using CsvRows;

// The data of one event on stdin, events on stdout: a line of JSON for each row.
var input = new StreamReader(Console.OpenStandardInput(), new UTF8Encoding(false, throwOnInvalidBytes: true));
using var output = new StreamWriter(Console.OpenStandardOutput(), new UTF8Encoding(encoderShouldEmitUTF8Identifier: false)) { NewLine = "\n" };

var config = JsonSerializer.Deserialize<Dictionary<string, JsonElement>>(Environment.GetEnvironmentVariable("FN_CONFIG") ?? "{}")!;
var separator = config.TryGetValue("separator", out var given) ? given.GetString()![0] : ',';
var plain = new JsonSerializerOptions { Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping };

try
{
    string[]? names = null;
    var line = 0;
    foreach (var row in Csv.Rows(input, separator))
    {
        line++;
        if (names is null)
        {
            names = row;
            continue;
        }
        if (row.Length != names.Length)
            throw new FormatException($"row {line} has {row.Length} fields, the head has {names.Length}");
        var data = names.Zip(row).ToDictionary(pair => pair.First, pair => pair.Second);
        await output.WriteLineAsync(JsonSerializer.Serialize(new { type = "com.example.csv.row", subject = line.ToString(), data }, plain));
    }
    return 0;
}
catch (Exception e) when (e is FormatException or DecoderFallbackException or ArgumentException)
{
    Console.Error.WriteLine(e.Message);
    return 65; // EX_DATAERR: the event is wrong, and no retry will mend it
}
