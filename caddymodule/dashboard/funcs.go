package dashboard

import (
	"fmt"
	"html/template"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/dustin/go-humanize"
)

// templateFuncs are what templates may call: they put values into words and decide nothing.
var templateFuncs = template.FuncMap{
	"time": timeTag, "ago": agoTag, "bytes": formatBytes, "count": formatCount, "ms": formatMS, "span": formatSpan, "plural": plural,
	"join": strings.Join, "counts": formatCounts[uint64], "statuses": formatCounts[int], "percent": formatPercent, "args": templateArgs, "word": word, "spark": sparkline, "rate": formatRate,
}

// timeTag writes a moment. The script of the pages puts it into the reader's zone; without it, it is in UTC.
func timeTag(t time.Time) template.HTML { return timeElement(t, "") }

// agoTag writes a moment that is shown as how long ago it is, or how soon.
func agoTag(t time.Time) template.HTML { return timeElement(t, ` data-ago=""`) }

func timeElement(t time.Time, attributes string) template.HTML {
	if t.IsZero() {
		return `<span class="none">–</span>`
	}
	t = t.UTC()
	return template.HTML(fmt.Sprintf(`<time datetime="%s"%s>%s</time>`, t.Format(time.RFC3339Nano), attributes, t.Format("2006-01-02 15:04:05 UTC"))) //nolint:gosec // digits
}

// formatBytes writes a size in bytes.
func formatBytes(n any) string {
	size := toInt(n)
	if size < 0 {
		return "unknown"
	}
	return humanize.IBytes(uint64(size))
}

// formatCount writes a number with separators.
func formatCount(n any) string { return humanize.Comma(toInt(n)) }

func toInt(n any) int64 {
	switch v := n.(type) {
	case int:
		return int64(v)
	case int64:
		return v
	case uint64:
		return int64(min(v, 1<<63-1)) //nolint:gosec // bounded
	case uint32:
		return int64(v)
	}
	return 0
}

// formatMS writes a number of milliseconds as a span.
func formatMS(ms any) string {
	var value float64
	switch v := ms.(type) {
	case float64:
		value = v
	case int64:
		value = float64(v)
	}
	switch {
	case value > 0 && value < 0.1:
		return "< 0.1 ms"
	case value >= 1000:
		return formatSpan(value / 1000)
	case value >= 10 || value == 0:
		return strconv.FormatFloat(value, 'f', 0, 64) + " ms"
	default:
		return strconv.FormatFloat(value, 'f', 1, 64) + " ms"
	}
}

// formatSpan writes a number of seconds with the two units that say the most.
func formatSpan(seconds float64) string {
	switch {
	case seconds > 0 && seconds < 0.1:
		return "less than 0.1 s"
	case seconds < 10:
		return strings.TrimSuffix(strconv.FormatFloat(seconds, 'f', 1, 64), ".0") + " s"
	case seconds < 60:
		return strconv.FormatFloat(seconds, 'f', 0, 64) + " s"
	}
	n := int64(seconds)
	for _, unit := range []struct {
		length    int64
		name, sub string
		subLength int64
	}{{86400, "d", "h", 3600}, {3600, "h", "min", 60}, {60, "min", "s", 1}} {
		if n < unit.length {
			continue
		}
		text := fmt.Sprintf("%d %s", n/unit.length, unit.name)
		if rest := n % unit.length / unit.subLength; rest > 0 {
			text += fmt.Sprintf(" %d %s", rest, unit.sub)
		}
		return text
	}
	return ""
}

// plural writes a number and a noun: plural 2 "delivery" "deliveries".
func plural(n any, one, many string) string {
	if toInt(n) == 1 {
		return "1 " + one
	}
	return formatCount(n) + " " + many
}

// formatCounts writes counts by name, the largest first.
func formatCounts[N int | uint64](counts map[string]N) string {
	names := slices.SortedFunc(maps.Keys(counts), func(a, b string) int {
		if counts[a] != counts[b] {
			if counts[a] > counts[b] {
				return -1
			}
			return 1
		}
		return strings.Compare(a, b)
	})
	for i, name := range names {
		names[i] = fmt.Sprintf("%s %d", word(name), counts[name])
	}
	return strings.Join(names, ", ")
}

// formatPercent writes a share of 0 to 1.
func formatPercent(share float64) string {
	if share > 0.999 && share < 1 {
		return "99.9 %" // never rounded up to all
	}
	return strings.TrimSuffix(strconv.FormatFloat(share*100, 'f', 1, 64), ".0") + " %"
}

// templateArgs makes a map of pairs, for a template that takes several values.
func templateArgs(pairs ...any) (map[string]any, error) {
	if len(pairs)%2 != 0 {
		return nil, fmt.Errorf("args: want pairs, have %d values", len(pairs))
	}
	m := make(map[string]any, len(pairs)/2)
	for i := 0; i < len(pairs); i += 2 {
		name, ok := pairs[i].(string)
		if !ok {
			return nil, fmt.Errorf("args: name %v is no text", pairs[i])
		}
		m[name] = pairs[i+1]
	}
	return m, nil
}

// formatRate writes a number of things in a time.
func formatRate(n float64) string {
	if n >= 10 || n == 0 {
		return humanize.Comma(int64(n + 0.5))
	}
	return strings.TrimSuffix(strconv.FormatFloat(n, 'f', 1, 64), ".0")
}

// firstLine is the beginning of a text that may be long.
func firstLine(text string) string {
	text, _, _ = strings.Cut(strings.TrimSpace(text), "\n")
	if len(text) > 200 {
		text = strings.ToValidUTF8(text[:200], "") + "…"
	}
	return text
}

// words are what pages say for names of the API.
var words = map[string]string{
	"half-open": "probing", "first": "first try", "retry": "retry", "replay": "replay", "cancel_replay": "cancelled a replay", "reveal": "revealed",
	"pause": "paused", "resume": "resumed", "cancel": "cancelled", "release": "released", "discard": "dropped",
	"backup": "backed up", "export": "exported", "import": "imported", "reconcile": "reconciled", "resend": "sent an edited event",
	"test_source": "sent a test event", "test_destination": "tested a destination",
	"unsigned": "no signature", "mismatch": "wrong signature", "stale": "outside the time tolerance", "malformed": "signature cannot be read",
	"unreadable": "body cannot be read", "too_large": "body too large", "slow": "body came too slowly", "method": "method not allowed",
	"keys_unavailable": "the provider's keys cannot be fetched", "store": "could not be stored", "store_full": "store full", "store_closed": "store closed", "store_failed": "store failed", "deadline": "not stored in time",
	"status": "answered with a failure", "timeout": "no answer in time", "dial": "could not connect", "dns": "name did not resolve", "tls": "TLS failed",
	"reset": "connection reset", "truncated": "answer broke off", "protocol": "answer is not HTTP", "redirect": "answered with a redirect", "transform": "transform failed",
	"enrich": "enrichment failed", "header": "header could not be sent", "internal": "failed inside the gateway",
}

func word(name string) string {
	if text, ok := words[name]; ok {
		return text
	}
	return name
}
