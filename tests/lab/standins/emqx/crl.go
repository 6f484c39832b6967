package main

// Revocation lists of client certificates, as EMQX's crl_cache has them: fetched over HTTP from the
// certificate's own distribution point, kept by that address, fetched again every refresh_interval.
// Who cannot be looked up in a list of its issuer that is still valid is refused.

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"sync"
	"time"
)

// What EMQX has as constants: a shorter interval counts as this one, and how soon a failed refresh is tried again.
// Tests cannot wait for so long: EMQX_STANDIN_CRL_HURRY=500ms is the one and the other.
var crlMinimum, crlRetry = time.Minute, 5 * time.Second

func init() {
	if hurry := os.Getenv("EMQX_STANDIN_CRL_HURRY"); hurry != "" {
		crlMinimum = asDuration(hurry, crlMinimum)
		crlRetry = crlMinimum
	}
}

const crlLargest = 16 << 20

// errNoCRL is why a certificate could not be looked up; EMQX calls it revocation_status_undetermined.
var errNoCRL = errors.New("revocation_status_undetermined")

type crlCache struct {
	cfg   *Config
	mu    sync.Mutex
	lists map[string][]*x509.RevocationList
	order []string // the address that was cached first comes first
}

func newCRLCache(cfg *Config) *crlCache {
	return &crlCache{cfg: cfg, lists: map[string][]*x509.RevocationList{}}
}

// check is the last step of a handshake, also of one that resumes a session.
func (c *crlCache) check(state tls.ConnectionState) error {
	if len(state.PeerCertificates) == 0 || len(state.VerifiedChains) == 0 {
		return nil // a listener that takes clients without one
	}
	chain := state.VerifiedChains[0]
	leaf, issuer := chain[0], chain[min(1, len(chain)-1)]
	err := c.judge(leaf, issuer)
	if err != nil {
		logf("warning", "msg: tls_client_refused, reason: %v, common_name: %s, serial: %x", err, leaf.Subject.CommonName, leaf.SerialNumber)
	}
	return err
}

func (c *crlCache) judge(leaf, issuer *x509.Certificate) error {
	if len(leaf.CRLDistributionPoints) == 0 {
		return fmt.Errorf("%w: the certificate has no distribution point", errNoCRL)
	}
	reason := "no list can be had"
	for _, list := range c.lookup(leaf.CRLDistributionPoints) {
		switch {
		case !bytes.Equal(list.RawIssuer, leaf.RawIssuer) || list.CheckSignatureFrom(issuer) != nil:
			reason = "the lists are of other issuers"
		case !time.Now().Before(list.NextUpdate):
			return fmt.Errorf("%w: the list has expired at %s", errNoCRL, list.NextUpdate.UTC().Format(time.RFC3339))
		default:
			for _, entry := range list.RevokedCertificateEntries {
				if entry.SerialNumber.Cmp(leaf.SerialNumber) == 0 {
					return errors.New("certificate_revoked")
				}
			}
			return nil
		}
	}
	return fmt.Errorf("%w: %s", errNoCRL, reason)
}

// lookup gives the lists of the first address that has some.
func (c *crlCache) lookup(addresses []string) []*x509.RevocationList {
	for _, address := range addresses {
		if !strings.HasPrefix(address, "http") {
			continue
		}
		c.mu.Lock()
		lists := c.lists[address]
		c.mu.Unlock()
		if len(lists) > 0 {
			return lists
		}
		lists, err := c.fetch(address, false)
		if err == nil && len(lists) > 0 {
			logf("debug", "msg: fetched_crl, cache_miss: true, url: %s", address)
			c.register(address, lists)
			return lists
		}
		logf("warning", "msg: failed_to_fetch_crl, cache_miss: true, url: %s, reason: %v", address, err)
	}
	return nil
}

// fetch reads PEM. EMQX looks at the status only when it refreshes.
func (c *crlCache) fetch(address string, refresh bool) ([]*x509.RevocationList, error) {
	client := http.Client{Timeout: c.cfg.Duration("crl_cache.http_timeout", 15*time.Second), Transport: &http.Transport{DisableKeepAlives: true}}
	answer, err := client.Get(address)
	if err != nil {
		return nil, err
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(io.LimitReader(answer.Body, crlLargest))
	if err != nil {
		return nil, err
	}
	if refresh && answer.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("bad_response, code: %d", answer.StatusCode)
	}
	if !refresh && !bytes.HasPrefix(body, []byte("-----BEGIN")) {
		return nil, fmt.Errorf("no PEM, code: %d", answer.StatusCode)
	}
	var lists []*x509.RevocationList
	for block, rest := pem.Decode(body); block != nil; block, rest = pem.Decode(rest) {
		if list, err := x509.ParseRevocationList(block.Bytes); block.Type == "X509 CRL" && err == nil {
			lists = append(lists, list)
		}
	}
	return lists, nil
}

// register keeps the lists of an address that is new, and begins to refresh them.
func (c *crlCache) register(address string, lists []*x509.RevocationList) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, known := c.lists[address]; known {
		c.lists[address] = lists
		return
	}
	c.lists[address] = lists
	c.order = append(c.order, address)
	if len(c.order) > c.cfg.Int("crl_cache.capacity", 100) {
		delete(c.lists, c.order[0])
		c.order = c.order[1:]
	}
	c.later(address, c.interval())
}

func (c *crlCache) interval() time.Duration {
	return max(crlMinimum, c.cfg.Duration("crl_cache.refresh_interval", 15*time.Minute))
}

func (c *crlCache) later(address string, wait time.Duration) {
	time.AfterFunc(wait, func() { c.refresh(address) })
}

// refresh replaces the lists; those that cannot be fetched again stay, and are asked for every five seconds.
func (c *crlCache) refresh(address string) {
	c.mu.Lock()
	_, known := c.lists[address]
	c.mu.Unlock()
	if !known {
		return
	}
	lists, err := c.fetch(address, true)
	if err != nil {
		logf("error", "msg: failed_to_fetch_crl_response, url: %s, error: %v", address, err)
		c.later(address, crlRetry)
		return
	}
	logf("debug", "msg: fetched_crl_response, url: %s, lists: %d", address, len(lists))
	c.mu.Lock()
	if _, known := c.lists[address]; known {
		c.lists[address] = lists
	}
	c.mu.Unlock()
	c.later(address, c.interval())
}
