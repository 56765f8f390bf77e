package reconcile

import (
	"fmt"
	"net/url"
	"slices"
	"strings"
)

// maxStripeTypes is how many types one call of Stripe's list may ask for.
const maxStripeTypes = 20

// Stripe lists a Stripe account's events of the last 30 days, newest first. key is a secret or restricted key that may read events, sent as a bearer token. types are those that the
// webhook endpoint is subscribed to (default: all): the list has all events of the account, whether they were to be sent or not. Stripe takes one type, which may end with *, or up to
// 20 whole ones; with others all are listed and the rest is left out here. Each event is rendered in the account's API version when it happened, not in that of the endpoint. Events of
// connected accounts are not in the list. An empty base is Stripe itself.
// See https://docs.stripe.com/api/events/list, https://docs.stripe.com/webhooks/process-undelivered-events and https://docs.stripe.com/api/pagination.
func Stripe(base, key string, types ...string) *Listing {
	if base == "" {
		base = "https://api.stripe.com"
	}
	address := base + "/v1/events?limit=100&created%5Bgte%5D={since}&created%5Blt%5D={until}"
	wild := slices.ContainsFunc(types, func(t string) bool { return strings.HasSuffix(t, "*") })
	switch {
	case len(types) == 1 && types[0] != "*":
		address += "&type=" + url.QueryEscape(types[0])
	case len(types) > 1 && len(types) <= maxStripeTypes && !wild:
		for _, t := range types {
			address += "&types%5B%5D=" + url.QueryEscape(t)
		}
	}
	return &Listing{
		URL: address, Header: map[string]string{"Authorization": "Bearer " + key},
		Items: "data", ID: []string{"id"}, Type: "type", Time: "created", Types: types,
		Next: Next{By: "last", Path: "id", Param: "starting_after", More: "has_more"},
	}
}

// GitHub lists the deliveries of a webhook, newest first, which github.com keeps for 3 days and an Enterprise Server for 7. hook is its path in the API:
// repos/<owner>/<name>/hooks/<id>, orgs/<name>/hooks/<id> or app/hook. token is a fine-grained one with the permission "Webhooks" (read) of the repository or organization, or a classic
// one with read:repo_hook or admin:org_hook; app/hook takes only the app's JSON Web Token, which lives for 10 minutes. An empty base is github.com; that of an Enterprise Server ends
// with /api/v3. The list has no filter by time, and each delivery's request takes a call of its own.
// See https://docs.github.com/en/rest/repos/webhooks#list-deliveries-for-a-repository-webhook, https://docs.github.com/en/rest/orgs/webhooks,
// https://docs.github.com/en/rest/apps/webhooks and https://docs.github.com/en/webhooks/testing-and-troubleshooting-webhooks/redelivering-webhooks.
func GitHub(base, hook, token string) (*Listing, error) {
	if base == "" {
		base = "https://api.github.com"
	}
	hook = strings.Trim(hook, "/")
	parts := strings.Split(hook, "/")
	switch {
	case hook == "app/hook":
	case len(parts) == 5 && parts[0] == "repos" && parts[3] == "hooks", len(parts) == 4 && parts[0] == "orgs" && parts[2] == "hooks":
	default:
		return nil, fmt.Errorf("hook %q: want repos/<owner>/<name>/hooks/<id>, orgs/<name>/hooks/<id> or app/hook", hook)
	}
	return &Listing{
		URL: base + "/" + hook + "/deliveries?per_page=100",
		Header: map[string]string{
			"Authorization": "Bearer " + token, "Accept": "application/vnd.github+json",
			"X-GitHub-Api-Version": "2022-11-28", // supported until March 2028 at least; an Enterprise Server does not know the later one
		},
		ID: []string{"guid"}, Type: "event", Time: "delivered_at",
		Detail: base + "/" + hook + "/deliveries/{id}", Payload: "request.payload", Headers: "request.headers",
		Make: map[string]string{"X-GitHub-Delivery": "{guid}", "X-GitHub-Event": "{event}", "Content-Type": "application/json"},
		Next: Next{By: "link"},
	}, nil
}

// shopifyTopics are the resources of which a shop has a list by the time of their update, and the topic of the webhook about that: orders/updated, but products/update.
// See https://shopify.dev/docs/api/webhooks/latest.
var shopifyTopics = map[string]string{
	"orders": "orders/updated", "draft_orders": "draft_orders/update", "products": "products/update", "customers": "customers/update",
	"custom_collections": "collections/update", "smart_collections": "collections/update",
}

// Shopify lists a shop's resources (orders, products, customers, ...) that were updated. Shopify keeps no list of webhooks and tells apps to fetch what they missed like this: what is
// compared is the last update of each resource, by CompareShopify, with the updates that arrived. token is an access token of the Admin API with the scope for the resource, of an app
// that may use the REST Admin API: Shopify calls that legacy since October 2024 and gives it to no new public app, but only it answers in the form of the webhooks' bodies. Orders older
// than 60 days need the scope read_all_orders.
// See https://shopify.dev/docs/apps/build/webhooks/best-practices, https://shopify.dev/docs/api/admin-rest/latest/resources/order and
// https://shopify.dev/docs/api/admin-rest/usage/pagination.
func Shopify(base, shop, resource, token string) (*Listing, error) {
	if base == "" {
		base = "https://" + shop
	}
	topic, ok := shopifyTopics[resource]
	if !ok {
		return nil, fmt.Errorf("resource %q: want one such as orders, draft_orders, products, customers, custom_collections or smart_collections", resource)
	}
	if u, err := url.Parse("https://" + shop); err != nil || u.Host != shop || shop == "" {
		return nil, fmt.Errorf("shop %q: want its domain, such as example.myshopify.com", shop)
	}
	status := ""
	if resource == "orders" {
		status = "&status=any" // else only open ones
	}
	return &Listing{
		URL:        base + "/admin/api/" + shopifyVersion + "/" + resource + ".json?limit=250&updated_at_min={since}&updated_at_max={until}" + status,
		TimeFormat: "rfc3339", Header: map[string]string{"X-Shopify-Access-Token": token},
		Items: resource, ID: []string{"id", "updated_at"}, Time: "updated_at",
		Make: map[string]string{
			"X-Shopify-Topic": topic, "X-Shopify-Shop-Domain": shop, "X-Shopify-Event-Id": "reconcile-{id}-{updated_at}",
			"X-Shopify-Triggered-At": "{updated_at}", "X-Shopify-Api-Version": shopifyVersion, "Content-Type": "application/json",
		},
		Next: Next{By: "link"},
	}, nil
}

// shopifyVersion is the API's, for which Shopify answers with its oldest supported one when it is no longer supported.
const shopifyVersion = "2026-10"

// CompareShopify tells an update of a resource, in a webhook's body as in the list: there is no id that both have.
const CompareShopify = "json:id json:updated_at"
