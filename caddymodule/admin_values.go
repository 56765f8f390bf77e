package caddymodule

import (
	"slices"
	"strings"

	"github.com/sluice-webhooks/sluice/queue/delivery"
)

// The values that filters can ask for, where there are only so many: a misspelt one would find nothing and look like good news.
var (
	requestResults = []string{resultAccepted, resultDuplicate, resultRefused, resultHandshake, resultError}
	tailKinds      = []string{tailRequest, tailAttempt, tailDelivery, tailBreaker, tailPause}
	tailResults    = append(slices.Clone(requestResults), "open", "half-open", "closed", "paused", "resumed")
	refusalReasons = []string{"unsigned", "malformed", "mismatch", "stale", "unreadable", "too_large", "slow", "truncated", "method"}
	requestReasons = append(slices.Clone(refusalReasons), "keys_unavailable", "store_full", "store_closed", "store_failed", "store", "deadline")
	failureClasses = []string{delivery.ClassStatus, delivery.ClassRedirect, delivery.ClassTimeout, classDial, classDNS, classTLS, classReset, classTruncated, classProtocol, classTransform, classEnrich, classHeader, delivery.ClassInternal}
	tailReasons    = append(slices.Clone(requestReasons), failureClasses...)
)

// oneOf reads a parameter that is one of these values, or absent.
func (p *params) oneOf(name string, values []string) string {
	value := p.text(name)
	if value != "" {
		p.among(name, value, values)
	}
	return value
}

// manyOf reads a parameter that is some of these values.
func (p *params) manyOf(name string, values []string) []string {
	list := p.list(name)
	for _, value := range list {
		p.among(name, value, values)
	}
	return list
}

func (p *params) among(name, value string, values []string) {
	if !slices.Contains(values, value) {
		p.fail("%s %q: want one of %s", name, value, strings.Join(values, ", "))
	}
}
