package caddymodule

import (
	"io"
	"net/url"
	"slices"
	"strings"

	"github.com/spf13/cobra"
)

// tellNothing says on standard error that filters leave nothing, and whether that is because of a name.
func tellNothing(cmd *cobra.Command, client *adminClient, query url.Values, what string) {
	_, _ = io.WriteString(cmd.ErrOrStderr(), "No "+what+" match.\n") // nobody is left to tell if standard error is closed
	tellUnknown(cmd, client, query)
}

// tellUnknown says if a filter names a source or destination that neither is configured nor has anything in the store. That is no error: there may have been one.
func tellUnknown(cmd *cobra.Command, client *adminClient, query url.Values) {
	for _, kind := range []string{"source", "destination"} {
		name := query.Get(kind)
		if name == "" {
			continue
		}
		var list struct{ Sources, Destinations []struct{ Name string } }
		if _, err := client.get(cmd.Context(), kind+"s", nil, &list); err != nil {
			continue // it was a hint only
		}
		var known []string
		for _, one := range append(list.Sources, list.Destinations...) {
			known = append(known, one.Name)
		}
		if !slices.Contains(known, name) {
			_, _ = io.WriteString(cmd.ErrOrStderr(), printable("There is no "+kind+" "+name+"; there are: "+strings.Join(known, ", "))+"\n")
		}
	}
}
