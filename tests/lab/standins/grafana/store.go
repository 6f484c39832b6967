// Copyright: (c) 2026, edgestack.iot contributors
// GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

package main

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/pbkdf2"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"
)

const (
	attemptsAllowed = 5
	attemptsWindow  = 5 * time.Minute
)

type user struct {
	ID       int64     `json:"id"`
	Login    string    `json:"login"`
	Email    string    `json:"email"`
	Name     string    `json:"name"`
	Admin    bool      `json:"admin"` // server administrator
	Role     string    `json:"role"`
	Salt     string    `json:"salt"`
	Password string    `json:"password"`
	Created  time.Time `json:"created"`
	Updated  time.Time `json:"updated"`
}

func randomText(bytes int) string {
	buffer := make([]byte, bytes)
	_, _ = rand.Read(buffer) // never fails: the runtime ends the process when the system has no randomness
	return hex.EncodeToString(buffer)
}

func randomUID() string {
	text := randomText(16)
	return fmt.Sprintf("%s-%s-4%s-a%s-%s", text[:8], text[8:12], text[13:16], text[17:20], text[20:])
}

func digest(password, salt string) string {
	key, err := pbkdf2.Key(sha256.New, password, []byte(salt), 10000, 50)
	if err != nil {
		return ""
	}
	return hex.EncodeToString(key)
}

func (u *user) setPassword(password string) {
	u.Salt = randomText(8)
	u.Password = digest(password, u.Salt)
	u.Updated = time.Now().UTC()
}

func (u *user) checks(password string) bool {
	return subtle.ConstantTimeCompare([]byte(u.Password), []byte(digest(password, u.Salt))) == 1
}

type serviceAccount struct {
	ID   int64  `json:"id"`
	Name string `json:"name"`
	Role string `json:"role"`
}

type apiToken struct {
	ID      int64  `json:"id"`
	Account int64  `json:"account"`
	Name    string `json:"name"`
	Digest  string `json:"digest"`
}

type datasource struct {
	ID              int64             `json:"id"`
	UID             string            `json:"uid"`
	Name            string            `json:"name"`
	Type            string            `json:"type"`
	Access          string            `json:"access"`
	URL             string            `json:"url"`
	User            string            `json:"user"`
	Database        string            `json:"database"`
	BasicAuth       bool              `json:"basicAuth"`
	BasicAuthUser   string            `json:"basicAuthUser"`
	WithCredentials bool              `json:"withCredentials"`
	Default         bool              `json:"isDefault"`
	JSONData        map[string]any    `json:"jsonData"`
	Secure          map[string]string `json:"secure"` // encrypted with the secret key
	ReadOnly        bool              `json:"readOnly"`
	Version         int64             `json:"version"`
}

type dashboard struct {
	ID       int64          `json:"id"`
	UID      string         `json:"uid"`
	Title    string         `json:"title"`
	Folder   string         `json:"folder"` // uid, empty for the general one
	Data     map[string]any `json:"data"`
	Version  int64          `json:"version"`
	External string         `json:"external"` // the file's path below the provider's, empty when made by hand
	Provider string         `json:"provider"`
	Sum      string         `json:"sum"`
	Created  time.Time      `json:"created"`
	Updated  time.Time      `json:"updated"`
}

type folder struct {
	ID    int64  `json:"id"`
	UID   string `json:"uid"`
	Title string `json:"title"`
}

type attempt struct {
	Login string    `json:"login"`
	At    time.Time `json:"at"`
}

// state is all that outlives a restart. Identifiers are counted as in Grafana's tables: folders share theirs with
// dashboards, service accounts with users.
type state struct {
	Users           []*user           `json:"users"`
	ServiceAccounts []*serviceAccount `json:"serviceAccounts"`
	Tokens          []*apiToken       `json:"tokens"`
	Datasources     []*datasource     `json:"datasources"`
	Dashboards      []*dashboard      `json:"dashboards"`
	Folders         []*folder         `json:"folders"`
	Attempts        []attempt         `json:"attempts"`
	LastUser        int64             `json:"lastUser"`
	LastToken       int64             `json:"lastToken"`
	LastDatasource  int64             `json:"lastDatasource"`
	LastDashboard   int64             `json:"lastDashboard"`
}

func (s *state) userByID(id int64) *user {
	for _, each := range s.Users {
		if each.ID == id {
			return each
		}
	}
	return nil
}

func (s *state) userByLogin(login string) *user {
	for _, each := range s.Users {
		if strings.EqualFold(each.Login, login) || (each.Email != "" && strings.EqualFold(each.Email, login)) {
			return each
		}
	}
	return nil
}

func (s *state) datasource(match func(*datasource) bool) *datasource {
	for _, each := range s.Datasources {
		if match(each) {
			return each
		}
	}
	return nil
}

func (s *state) datasourceByUID(uid string) *datasource {
	return s.datasource(func(each *datasource) bool { return each.UID == uid })
}

func (s *state) dashboardByUID(uid string) *dashboard {
	for _, each := range s.Dashboards {
		if each.UID == uid {
			return each
		}
	}
	return nil
}

func (s *state) folderByUID(uid string) *folder {
	for _, each := range s.Folders {
		if each.UID == uid {
			return each
		}
	}
	return nil
}

// ensureFolder finds a folder by its title and makes it when there is none: an existing folder keeps its uid.
func (s *state) ensureFolder(title, uid string) *folder {
	for _, each := range s.Folders {
		if each.Title == title {
			return each
		}
	}
	if uid == "" {
		uid = randomUID()
	}
	s.LastDashboard++
	made := &folder{ID: s.LastDashboard, UID: uid, Title: title}
	s.Folders = append(s.Folders, made)
	return made
}

func (s *state) locked(login string) bool {
	count := 0
	for _, each := range s.Attempts {
		if strings.EqualFold(each.Login, login) && time.Since(each.At) < attemptsWindow {
			count++
		}
	}
	return count >= attemptsAllowed
}

// store keeps the state in one file, which the server and the command line client both change under a lock.
type store struct {
	path   string
	key    [32]byte
	mutex  sync.Mutex
	state  *state
	stamp  time.Time
	inode  uint64
	loaded bool
}

func openStore(configuration settings) (*store, error) {
	directory := configuration.get("paths", "data")
	if err := os.MkdirAll(directory, 0o750); err != nil {
		return nil, err
	}
	result := &store{path: filepath.Join(directory, "grafana.db"), key: sha256.Sum256([]byte(configuration.get("security", "secret_key")))}
	return result, result.update(func(state *state) error {
		if state.LastUser > 0 || configuration.flag("security", "disable_initial_admin_creation") {
			return nil
		}
		state.LastUser = 1
		// The configured password counts here, at the first start, and never again.
		admin := &user{ID: 1, Login: configuration.get("security", "admin_user"), Admin: true, Role: "Admin",
			Email: configuration.get("security", "admin_email"), Created: time.Now().UTC()}
		admin.setPassword(configuration.get("security", "admin_password"))
		state.Users = append(state.Users, admin)
		return nil
	})
}

func (s *store) load() error {
	info, err := os.Stat(s.path)
	if errors.Is(err, os.ErrNotExist) {
		if s.state == nil {
			s.state = &state{}
		}
		return nil
	} else if err != nil {
		return err
	}
	inode := info.Sys().(*syscall.Stat_t).Ino
	if s.loaded && info.ModTime().Equal(s.stamp) && inode == s.inode {
		return nil
	}
	content, err := os.ReadFile(s.path)
	if err != nil {
		return err
	}
	fresh := &state{}
	if err := json.Unmarshal(content, fresh); err != nil {
		return fmt.Errorf("%s: %w", s.path, err)
	}
	s.state, s.stamp, s.inode, s.loaded = fresh, info.ModTime(), inode, true
	return nil
}

// keepOwner leaves a file to the server's user: the command line client may run as root.
func (s *store) keepOwner(path string) {
	if info, err := os.Stat(filepath.Dir(s.path)); err == nil && os.Geteuid() == 0 {
		owner := info.Sys().(*syscall.Stat_t)
		_ = os.Chown(path, int(owner.Uid), int(owner.Gid))
	}
}

func (s *store) save() error {
	content, err := json.Marshal(s.state)
	if err != nil {
		return err
	}
	temporary := s.path + ".new"
	if err := os.WriteFile(temporary, content, 0o640); err != nil {
		return err
	}
	s.keepOwner(temporary)
	if err := os.Rename(temporary, s.path); err != nil {
		return err
	}
	s.loaded = false
	return s.load()
}

// view runs a function on the current state; it must not keep what it was given.
func (s *store) view(function func(*state) error) error {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	if err := s.load(); err != nil {
		return err
	}
	return function(s.state)
}

// update runs a function under the lock and writes the state when it succeeds.
func (s *store) update(function func(*state) error) error {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	lock, err := os.OpenFile(s.path+".lock", os.O_CREATE|os.O_RDWR, 0o660)
	if err != nil {
		return err
	}
	defer func() { _ = lock.Close() }()
	s.keepOwner(s.path + ".lock")
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX); err != nil {
		return err
	}
	if err := s.load(); err != nil {
		return err
	}
	if err := function(s.state); err != nil {
		s.loaded = false // what the function changed before it failed is read again from the file
		if reload := s.load(); reload != nil {
			return errors.Join(err, reload)
		}
		return err
	}
	return s.save()
}

func (s *store) cipher() (cipher.AEAD, error) {
	block, err := aes.NewCipher(s.key[:])
	if err != nil {
		return nil, err
	}
	return cipher.NewGCM(block)
}

func (s *store) encrypt(text string) (string, error) {
	sealer, err := s.cipher()
	if err != nil {
		return "", err
	}
	nonce := make([]byte, sealer.NonceSize())
	_, _ = rand.Read(nonce)
	return base64.StdEncoding.EncodeToString(sealer.Seal(nonce, nonce, []byte(text), nil)), nil
}

func (s *store) decrypt(text string) (string, error) {
	sealer, err := s.cipher()
	if err != nil {
		return "", err
	}
	sealed, err := base64.StdEncoding.DecodeString(text)
	if err != nil || len(sealed) < sealer.NonceSize() {
		return "", errors.New("unable to decrypt: damaged value")
	}
	plain, err := sealer.Open(nil, sealed[:sealer.NonceSize()], sealed[sealer.NonceSize():], nil)
	if err != nil {
		return "", errors.New("unable to decrypt: the secret key is not the one it was encrypted with")
	}
	return string(plain), nil
}
