package caddymodule

import (
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"

	"github.com/sluice-webhooks/sluice/queue/delivery"
)

const wantAddress = "want a URL such as https://app.internal/hooks"

// checkAddress refuses what is no address of an application, such as what is left of one when a variable is not set.
func checkAddress(address string) error {
	if strings.Contains(address, "{") {
		if strings.Contains(address, "@") {
			address = redactUserinfo(address)
		}
		return fmt.Errorf("to %q: an address takes no placeholders; {$NAME} is replaced when the Caddyfile is read, and `proxy { rewrite <path> }` takes placeholders", address)
	}
	if strings.Contains(address, "://") {
		return nil // parseTargets or reverse_proxy reads it
	}
	if network, rest, ok := strings.Cut(address, "/"); ok {
		if rest == "" || !slices.Contains([]string{"unix", "unix+h2c", "tcp", "tcp4", "tcp6"}, network) {
			return fmt.Errorf("to %q: %s, or a socket such as unix//run/app.sock", address, wantAddress)
		}
		return nil
	}
	_, port, err := net.SplitHostPort(address)
	alone := !strings.Contains(address, ":") || strings.HasPrefix(address, "[") && strings.HasSuffix(address, "]")
	if address == "" || strings.Contains(address, " ") || !alone && (err != nil || port == "") {
		return fmt.Errorf("to %q: %s, or <host>:<port>", address, wantAddress)
	}
	return nil
}

// checkStatuses refuses rules under which no answer, or no one verdict, is left.
func checkStatuses(p *delivery.Policy) error {
	for _, rule := range slices.Concat(p.DeadOn, p.RetryOn) {
		if rule.From <= 200 && rule.To >= 299 && len(p.DeliverOn) == 0 {
			return errors.New("nothing would be delivered: 2xx stands in dead_on or retry_on")
		}
	}
	seen := make(map[delivery.StatusRule]string)
	for _, list := range []struct {
		name  string
		rules []delivery.StatusRule
	}{{"dead_on", p.DeadOn}, {"deliver_on", p.DeliverOn}, {"retry_on", p.RetryOn}} {
		for _, rule := range list.rules {
			if other := seen[rule]; other != "" && other != list.name {
				status := strings.TrimSuffix(fmt.Sprintf("%d-%d", rule.From, rule.To), fmt.Sprintf("-%d", rule.From))
				return fmt.Errorf("%s stands in both %s and %s", status, other, list.name)
			}
			seen[rule] = list.name
		}
	}
	return nil
}
