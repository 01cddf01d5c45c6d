package rest

import (
	"net/http"

	"github.com/darter-p2p/darter"
	"github.com/darter-p2p/darter/internal/manager/auth/account"
	"github.com/darter-p2p/darter/internal/rest"
)

const (
	beginPath    = "/v1/sessions/oidc"
	callbackPath = "/v1/sessions/oidc/callback"
	flowCookie   = "darter-sign-in"
)

// federation adds the two addresses that a browser is sent to; they answer with redirects and are no operations.
func (d *door) federation() {
	public := rest.Access{Public: "signing in at an identity provider begins and ends without a credential of ours"}
	d.api.Handle("GET "+beginPath, public, http.HandlerFunc(d.begin))
	d.api.Handle("GET "+callbackPath, public, http.HandlerFunc(d.finish))
}

func (d *door) noProvider(w http.ResponseWriter, r *http.Request) bool {
	if d.Provider == nil {
		d.api.Refuse(w, r, &darter.Error{Kind: darter.NotFound, Op: "sign in", Hint: "sign in with name and password", Err: errNoProvider})
	}
	return d.Provider == nil
}

func (d *door) begin(w http.ResponseWriter, r *http.Request) {
	if d.noProvider(w, r) {
		return
	}
	started, err := d.Provider.Begin(r.Context(), r.URL.Query().Get("return_to"))
	if err != nil {
		d.api.Refuse(w, r, err)
		return
	}
	d.flow(w, r, started.Cookie, int(started.Life.Seconds()))
	redirect(w, started.URL)
}

// flow gives the browser what finishing needs, or with a negative life takes it away.
func (d *door) flow(w http.ResponseWriter, r *http.Request, value string, life int) {
	http.SetCookie(w, &http.Cookie{Name: flowCookie, Value: value, Path: callbackPath, MaxAge: life, HttpOnly: true, Secure: r.TLS != nil || d.Secure, SameSite: http.SameSiteLaxMode})
}

func (d *door) finish(w http.ResponseWriter, r *http.Request) {
	if d.noProvider(w, r) {
		return
	}
	value := ""
	if c, err := r.Cookie(flowCookie); err == nil {
		value = c.Value
	}
	d.flow(w, r, "", -1)
	who, err := d.Provider.Finish(r.Context(), r.URL.Query(), value)
	if err != nil {
		d.api.Refuse(w, r, err)
		return
	}
	f := account.Federated{Issuer: who.Issuer, Subject: who.Subject, Name: who.Name, Display: who.Display, Email: who.Email}
	for _, m := range who.Roles {
		f.Bindings = append(f.Bindings, account.Binding{Role: m.Role, Cluster: m.Cluster})
	}
	o, err := d.Accounts.SignInFederated(r.Context(), own(r.Context()), f, r.UserAgent())
	if err != nil {
		d.api.Refuse(w, r, err)
		return
	}
	d.front.SetCookie(w, o.Cookie, o.Expires)
	redirect(w, who.ReturnTo)
}

// redirect sends the browser on without a body: http.Redirect would clean the path that was checked.
func redirect(w http.ResponseWriter, to string) {
	w.Header().Set("Location", to)
	w.WriteHeader(http.StatusSeeOther)
}
