package verifiers

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Duration is a time span in a Spec: "5m", "72h", "7d", or "off" where there is no limit.
type Duration time.Duration

// Off is the Duration of a limit that does not apply.
const Off Duration = -1

// ParseDuration reads a Duration: what [time.ParseDuration] takes, days ("7d"), or "off". Negative spans are refused.
func ParseDuration(s string) (Duration, error) {
	if s == "off" {
		return Off, nil
	}
	var d time.Duration
	if days, ok := strings.CutSuffix(s, "d"); ok {
		n, err := strconv.ParseUint(days, 10, 16)
		if err != nil {
			return 0, fmt.Errorf("duration %q: expected a number of days, as in 7d", s)
		}
		return Duration(time.Duration(n) * 24 * time.Hour), nil
	}
	d, err := time.ParseDuration(s)
	if err != nil || d < 0 {
		return 0, fmt.Errorf("duration %q: expected a span such as 30s, 5m, 72h or 7d, or off", s)
	}
	return Duration(d), nil
}

// Std returns the span; negative for Off.
func (d Duration) Std() time.Duration { return time.Duration(d) }

// Ptr returns a pointer to d, for the fields in which zero differs from absent.
func (d Duration) Ptr() *Duration { return &d }

// String writes d so that ParseDuration reads it.
func (d Duration) String() string {
	switch {
	case d < 0:
		return "off"
	case d > 0 && d%Duration(24*time.Hour) == 0:
		return strconv.FormatInt(int64(d/Duration(24*time.Hour)), 10) + "d"
	}
	return time.Duration(d).String()
}

// MarshalText implements encoding.TextMarshaler.
func (d Duration) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// UnmarshalText implements encoding.TextUnmarshaler; YAML uses it as well.
func (d *Duration) UnmarshalText(b []byte) error {
	v, err := ParseDuration(string(b))
	if err != nil {
		return err
	}
	*d = v
	return nil
}

// UnmarshalJSON reads a string, or a number of nanoseconds as Caddy's own durations allow.
func (d *Duration) UnmarshalJSON(b []byte) error {
	var n int64
	if err := json.Unmarshal(b, &n); err == nil {
		if n < 0 {
			n = int64(Off)
		}
		*d = Duration(n)
		return nil
	}
	var s string
	if err := json.Unmarshal(b, &s); err != nil {
		return fmt.Errorf("duration: expected a string such as \"5m\" or \"off\": %w", err)
	}
	return d.UnmarshalText([]byte(s))
}
