package caddymodule

import (
	"time"

	"github.com/spf13/cobra"
)

// momentFlags adds --since and --until, which bound when something was, such as Received.
func momentFlags(cmd *cobra.Command, what string) (since, until *momentValue) {
	since, until = new(momentValue), new(momentValue)
	cmd.Flags().Var(since, "since", what+" since: a time such as '2006-01-02 15:04:05', a date, both of the time zone here unless one is given, or how long ago, such as 24h or 7d")
	cmd.Flags().Var(until, "until", what+" before; as --since")
	return since, until
}

// momentValue is the value of a flag that takes a moment, as the admin API is asked for it. The API takes a time without a zone for one of UTC; tables show the operator's own,
// and what is copied from them must mean the same.
type momentValue string

func (v *momentValue) String() string { return string(*v) }

// Type is what it is to cobra and in help.
func (*momentValue) Type() string { return "string" }

// Set implements pflag.Value.
func (v *momentValue) Set(text string) error {
	*v = momentValue(withZone(text, time.Local))
	return nil
}

// withZone gives a time without a zone that of the place. What is none is left to the API, which also says what is wrong with it.
func withZone(text string, place *time.Location) string {
	for _, layout := range []string{time.DateTime, "2006-01-02 15:04", "2006-01-02T15:04:05", "2006-01-02T15:04", time.DateOnly} {
		if t, err := time.ParseInLocation(layout, text, place); err == nil {
			return t.UTC().Format(time.RFC3339Nano)
		}
	}
	return text
}
