package config

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/brndnmtthws/mother-of-dragons/dragon"
	"github.com/brndnmtthws/mother-of-dragons/internal/fleet"
)

type credential struct {
	Username     string        `yaml:"username"`
	Password     dragon.Secret `yaml:"password"`
	PasswordFile string        `yaml:"password_file"`
	Match        match         `yaml:"match"`
}

// Credentials are the credentials to try at each dragon's login.
type Credentials struct {
	sites *Sites
	known []knownCredential // the most specific match first, then as in the file
}

type knownCredential struct {
	dragon.Credential
	whose layer
}

// mostStrange is how many passwords of particular dragons are tried on a dragon that is not
// identified yet.
const mostStrange = 8

// For returns the credentials to try, in this order, at the login of the dragon at an address
// (host or host:port). The most specific match comes first; where none matches, the factory
// passwords.
//
// who is nil for a dragon that is not identified yet, such as one that has just moved. Then some
// of the credentials for particular dragons that fit the address are tried last.
func (c *Credentials) For(address string, who *fleet.Info) []dragon.Credential {
	ip, _ := addressOf(address)
	site := ""
	if c.sites != nil {
		site = c.sites.Of(address)
	}
	if who != nil && who.Site != "" { // of a static dragon with a host name
		site = who.Site
	}
	var tried, perhaps []dragon.Credential
	add := func(list *[]dragon.Credential, k knownCredential) {
		if !slices.Contains(*list, k.Credential) {
			*list = append(*list, k.Credential)
		}
	}
	for _, k := range c.known {
		switch l := k.whose; {
		case who != nil:
			if l.matches(who.MAC, who.Model, ip, site) {
				add(&tried, k)
			}
		case l.macs == nil && l.models == nil:
			if l.matches("", "", ip, site) {
				add(&tried, k)
			}
		default:
			if l.macs, l.models = nil, nil; l.matches("", "", ip, site) {
				add(&perhaps, k)
			}
		}
	}
	if len(tried) == 0 {
		tried = dragon.DefaultCredentials()
	}
	perhaps = slices.DeleteFunc(perhaps, func(p dragon.Credential) bool { return slices.Contains(tried, p) })
	return append(tried, perhaps[:min(len(perhaps), mostStrange)]...)
}

// Equal reports whether two are the same for every dragon.
func (c *Credentials) Equal(o *Credentials) bool {
	return slices.EqualFunc(c.known, o.known, func(a, b knownCredential) bool {
		return a.Credential == b.Credential && slices.Equal(a.whose.macs, b.whose.macs) && slices.Equal(a.whose.models, b.whose.models) &&
			slices.Equal(a.whose.sites, b.whose.sites) && a.whose.network == b.whose.network
	})
}

func (c *Config) adoptCredentials(r *reader, dir string, sites []string) {
	c.Credentials = Credentials{sites: &c.Sites}
	for i, cred := range c.Logins {
		path := fmt.Sprintf("credentials[%d]", i)
		if cred.Username == "" {
			r.at(path, "has no username")
		}
		switch {
		case cred.Password != "" && cred.PasswordFile != "":
			r.at(path, "has both password and password_file; want one")
		case cred.PasswordFile != "":
			password, err := c.secretIn(cred.PasswordFile, dir)
			if err != nil {
				r.at(path+".password_file", "%s", err)
			}
			cred.Password = dragon.Secret(password)
		case cred.Password == "" && r.has(path+".password"):
			r.at(path+".password", "is empty")
		case cred.Password == "":
			r.at(path, "has neither password nor password_file")
		}
		whose := []layer{{}}
		if r.has(path + ".match") {
			whose = cred.Match.layers(r, path+".match", sites, layer{})
		}
		for _, l := range whose {
			k := knownCredential{dragon.Credential{Username: cred.Username, Password: cred.Password}, l}
			c.Credentials.known = append(c.Credentials.known, k)
		}
	}
	slices.SortStableFunc(c.Credentials.known, func(a, b knownCredential) int { return b.whose.compare(&a.whose) })
	if r.has("credentials") && len(c.Logins) == 0 {
		r.at("credentials", "is empty; leave the key out for the factory passwords")
	}
}

// secretIn reads a password from a file, whose only line it is.
func (c *Config) secretIn(path, dir string) (string, error) {
	path = within(dir, path) // not the working directory's
	info, err := os.Stat(path)
	if err != nil {
		return "", err
	}
	if !info.Mode().IsRegular() || info.Size() > 4096 {
		return "", errors.New(path + " is not a file with one line")
	}
	data, err := os.ReadFile(path) //nolint:gosec // the operator names it
	if err != nil {
		return "", err
	}
	password := strings.TrimRight(string(data), "\r\n")
	if password == "" || strings.ContainsAny(password, "\r\n") {
		return "", errors.New(path + " has no password: want one line")
	}
	if othersRead(info) {
		c.warn("%s contains a password and others can read it: chmod 600", path)
	}
	return password, nil
}
