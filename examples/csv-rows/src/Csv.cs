using System.Text;

namespace CsvRows;

/// <summary>Comma-separated values as RFC 4180 has them.</summary>
public static class Csv
{
    /// <summary>The rows of a text; a quoted field may hold separators, quotes in pairs and line breaks.</summary>
    /// <exception cref="FormatException">A quoted field that does not end.</exception>
    public static IEnumerable<string[]> Rows(TextReader text, char separator)
    {
        var fields = new List<string>();
        var field = new StringBuilder();
        var quoted = false;
        for (var next = text.Read(); next != -1; next = text.Read())
        {
            var character = (char)next;
            if (quoted)
            {
                if (character != '"') field.Append(character);
                else if (text.Peek() == '"') field.Append((char)text.Read());
                else quoted = false;
            }
            else if (character == '"' && field.Length == 0) quoted = true;
            else if (character == separator) Take(fields, field);
            else if (character == '\n')
            {
                Take(fields, field);
                yield return Finish(fields);
            }
            else if (character != '\r') field.Append(character);
        }
        if (quoted) throw new FormatException("a quoted field has no end");
        if (field.Length == 0 && fields.Count == 0) yield break;
        Take(fields, field);
        yield return Finish(fields);
    }

    private static void Take(List<string> fields, StringBuilder field)
    {
        fields.Add(field.ToString());
        field.Clear();
    }

    private static string[] Finish(List<string> fields)
    {
        var row = fields.ToArray();
        fields.Clear();
        return row;
    }
}
