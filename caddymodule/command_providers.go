package caddymodule

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"
	"go.yaml.in/yaml/v3"

	"github.com/sluice-webhooks/sluice/verifiers/catalogue"
)

func init() { verbs = append(verbs, providersCommand) }

func providersCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "providers [<id>]", Short: "Lists the providers that the gateway knows, or shows one", Args: cobra.MaximumNArgs(1),
		Long: `Lists the providers of webhooks: the built-in catalogue and those of the running configuration. With an id, shows how that one signs, what it needs
and what to know about it. Without a running Caddy, the built-in ones are shown.`,
	}
	connectFlags(cmd)
	outputFlags(cmd)
	cmd.RunE = runVerb(func(cmd *cobra.Command, ids []string) error {
		client, err := connect(cmd)
		if err != nil {
			return err
		}
		if len(ids) == 1 {
			return showProvider(cmd, client, ids[0])
		}
		var list struct {
			Providers []providerView `json:"providers"`
		}
		raw, err := client.get(cmd.Context(), "providers", nil, &list)
		if offline(cmd, err) {
			if list.Providers, err = builtInProviders(); err == nil {
				raw, err = json.Marshal(list)
			}
		}
		if err != nil {
			return err
		}
		s := newScreen(cmd.OutOrStdout())
		return showOr(cmd, s, raw, func() { printProviders(s, list.Providers) })
	})
	return cmd
}

// offline reports whether a call failed only because no gateway runs and none was named, so that what is built in can be shown instead.
func offline(cmd *cobra.Command, err error) bool {
	var known *commandError
	return errors.As(err, &known) && known.code == exitUnreachable && !cmd.Flags().Changed("address") && !cmd.Flags().Changed("config")
}

func printProviders(s *screen, providers []providerView) {
	t := table{headings: []string{"PROVIDER", "NAME", "SCHEME", "SECRET", "HANDSHAKE", "SOURCES"}}
	for i := range providers {
		p := &providers[i]
		id, secret, handshake := text(p.ID), text(p.Secret), text("")
		if p.Own {
			id.color = bold
		}
		if p.Unsigned {
			secret = colored(yellow, "none: needs token or unsigned_ok")
		}
		if p.Handshake {
			handshake = text("yes")
		}
		t.add(id, text(p.Name), text(p.Scheme), secret, handshake, text(strings.Join(p.Sources, " ")))
	}
	t.print(s)
}

func showProvider(cmd *cobra.Command, client *adminClient, id string) error {
	var detail providerDetail
	raw, err := client.get(cmd.Context(), "providers/"+segment(id), nil, &detail)
	if offline(cmd, err) {
		spec, lookupErr := catalogue.Lookup(id)
		if lookupErr != nil {
			return &commandError{code: exitNotFound, err: lookupErr}
		}
		detail = providerDetail{providerView: newProviderView(id, spec), Spec: spec}
		raw, err = json.Marshal(detail)
	}
	if err != nil {
		return err
	}
	s := newScreen(cmd.OutOrStdout())
	return showOr(cmd, s, raw, func() { printProvider(s, &detail) })
}

func printProvider(s *screen, p *providerDetail) {
	s.printf("%s", s.paint(bold, printable(p.ID)))
	if p.Name != "" {
		s.printf(" %s", printable(p.Name))
	}
	s.printf("\n")
	field := func(name, value string) {
		if value != "" {
			s.printf("%s %s\n", s.paint(dim, fmt.Sprintf("%-11s", name)), printable(value))
		}
	}
	field("docs", p.Docs)
	field("confidence", p.Confidence)
	secret := p.Secret
	if p.Unsigned {
		secret = "none: requests are not signed, so `token` or `unsigned_ok` is needed"
	}
	field("secret", secret)
	if p.DeadlineMS > 0 {
		field("deadline", age(millis(float64(p.DeadlineMS))))
	}
	field("retries", p.Retries)
	field("sources", strings.Join(p.Sources, " "))
	for _, quirk := range p.Quirks {
		field("note", quirk)
	}
	shown := *p.Spec // the rest is for people who write a provider of their own
	shown.Examples, shown.Vectors, shown.Quirks = nil, nil, nil
	raw, err := json.Marshal(shown)
	var tree any
	if err == nil {
		err = json.Unmarshal(raw, &tree)
	}
	var text []byte
	if err == nil {
		text, err = yaml.Marshal(tree)
	}
	if err != nil {
		s.printf("%s\n", s.paint(red, "its data cannot be shown: "+err.Error()))
		return
	}
	s.printf("\n")
	for line := range strings.SplitSeq(strings.TrimRight(string(text), "\n"), "\n") {
		s.printf("  %s\n", printable(line))
	}
}
