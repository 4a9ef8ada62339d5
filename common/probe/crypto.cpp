#include "common/probe/crypto.h"

#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <sodium.h>
#include <string.h>
#include <sys/random.h>

#include <cassert>
#include <cerrno>
#include <new>
#include <utility>

#include "common/base/library.h"

namespace wgvitals::probe {
namespace {

using Nonce = std::array<std::uint8_t, crypto_aead_chacha20poly1305_ietf_NPUBBYTES>;

Nonce nonce_of(std::uint64_t counter) {
  Nonce nonce{};
  for (std::size_t i = 0; i < 8; ++i) nonce[4 + i] = static_cast<std::uint8_t>(counter >> (8 * i));
  return nonce;
}

template <class Function>
struct Deleter {
  Function* function = nullptr;
  template <class Object>
  void operator()(Object* object) const {
    function(object);
  }
};

template <class Object, class Function>
using Owned = std::unique_ptr<Object, Deleter<Function>>;

void demand(int done) {
  if (done != 1) throw std::bad_alloc();  // the only way that hashing fails
}

}  // namespace

struct Crypto::Parts {
  Parts(Library first, Library second) : sodium(std::move(first)), libcrypto(std::move(second)) {}
  Result<Done> find_all();
  Result<Done> make_contexts();
  void finish_hmac(std::initializer_list<Bytes> parts, KeyInto into) const;

  Library sodium, libcrypto;

  decltype(::sodium_init)* init = nullptr;
  decltype(::sodium_stackzero)* stackzero = nullptr;
  decltype(::crypto_scalarmult_curve25519)* scalarmult = nullptr;
  decltype(::crypto_scalarmult_curve25519_base)* scalarmult_base = nullptr;
  decltype(::crypto_aead_chacha20poly1305_ietf_encrypt)* chacha_encrypt = nullptr;
  decltype(::crypto_aead_chacha20poly1305_ietf_decrypt)* chacha_decrypt = nullptr;
  decltype(::crypto_aead_xchacha20poly1305_ietf_encrypt)* xchacha_encrypt = nullptr;
  decltype(::crypto_aead_xchacha20poly1305_ietf_decrypt)* xchacha_decrypt = nullptr;

  decltype(::OSSL_LIB_CTX_new)* lib_ctx_new = nullptr;
  decltype(::OSSL_LIB_CTX_free)* lib_ctx_free = nullptr;
  decltype(::OSSL_PARAM_construct_utf8_string)* param_text = nullptr;
  decltype(::OSSL_PARAM_construct_size_t)* param_size = nullptr;
  decltype(::OSSL_PARAM_construct_end)* param_end = nullptr;
  decltype(::EVP_MD_fetch)* md_fetch = nullptr;
  decltype(::EVP_MD_free)* md_free = nullptr;
  decltype(::EVP_MD_CTX_new)* md_ctx_new = nullptr;
  decltype(::EVP_MD_CTX_free)* md_ctx_free = nullptr;
  decltype(::EVP_DigestInit_ex2)* digest_init = nullptr;
  decltype(::EVP_DigestUpdate)* digest_update = nullptr;
  decltype(::EVP_DigestFinal_ex)* digest_final = nullptr;
  decltype(::EVP_MAC_fetch)* mac_fetch = nullptr;
  decltype(::EVP_MAC_free)* mac_free = nullptr;
  decltype(::EVP_MAC_CTX_new)* mac_ctx_new = nullptr;
  decltype(::EVP_MAC_CTX_free)* mac_ctx_free = nullptr;
  decltype(::EVP_MAC_init)* mac_init = nullptr;
  decltype(::EVP_MAC_update)* mac_update = nullptr;
  decltype(::EVP_MAC_final)* mac_final = nullptr;

  // Of our own: a host's settings of OpenSSL, as FIPS, do not reach it, nor ours the host.
  Owned<OSSL_LIB_CTX, decltype(::OSSL_LIB_CTX_free)> context;
  Owned<EVP_MD, decltype(::EVP_MD_free)> blake2s;
  Owned<EVP_MD_CTX, decltype(::EVP_MD_CTX_free)> hash;
  Owned<EVP_MAC_CTX, decltype(::EVP_MAC_CTX_free)> hmac, mac;
};

Result<Done> Crypto::Parts::find_all() {
  Result<Done> done = Done{};
  const Library* library = &sodium;
  const auto find = [&](const char* name, auto*& function) {
    if (done) done = library->find(name, function);
  };
  find("sodium_init", init);
  find("sodium_stackzero", stackzero);
  find("crypto_scalarmult_curve25519", scalarmult);
  find("crypto_scalarmult_curve25519_base", scalarmult_base);
  find("crypto_aead_chacha20poly1305_ietf_encrypt", chacha_encrypt);
  find("crypto_aead_chacha20poly1305_ietf_decrypt", chacha_decrypt);
  find("crypto_aead_xchacha20poly1305_ietf_encrypt", xchacha_encrypt);
  find("crypto_aead_xchacha20poly1305_ietf_decrypt", xchacha_decrypt);
  library = &libcrypto;
  find("OSSL_LIB_CTX_new", lib_ctx_new);
  find("OSSL_LIB_CTX_free", lib_ctx_free);
  find("OSSL_PARAM_construct_utf8_string", param_text);
  find("OSSL_PARAM_construct_size_t", param_size);
  find("OSSL_PARAM_construct_end", param_end);
  find("EVP_MD_fetch", md_fetch);
  find("EVP_MD_free", md_free);
  find("EVP_MD_CTX_new", md_ctx_new);
  find("EVP_MD_CTX_free", md_ctx_free);
  find("EVP_DigestInit_ex2", digest_init);
  find("EVP_DigestUpdate", digest_update);
  find("EVP_DigestFinal_ex", digest_final);
  find("EVP_MAC_fetch", mac_fetch);
  find("EVP_MAC_free", mac_free);
  find("EVP_MAC_CTX_new", mac_ctx_new);
  find("EVP_MAC_CTX_free", mac_ctx_free);
  find("EVP_MAC_init", mac_init);
  find("EVP_MAC_update", mac_update);
  find("EVP_MAC_final", mac_final);
  return done;
}

void Crypto::Parts::finish_hmac(std::initializer_list<Bytes> parts, KeyInto into) const {
  for (const auto part : parts) demand(mac_update(hmac.get(), part.data(), part.size()));
  std::size_t size = 0;
  demand(mac_final(hmac.get(), into.data(), &size, into.size()));
}

Result<Done> Crypto::Parts::make_contexts() {
  if (init() < 0) return Error{Errc::io, 0, "libsodium does not start"};
  const Error no_blake2s{Errc::io, 0, "libcrypto does not start, or was built without BLAKE2s"};
  context = {lib_ctx_new(), {lib_ctx_free}};
  if (!context) return no_blake2s;
  blake2s = {md_fetch(context.get(), "BLAKE2s-256", nullptr), {md_free}};
  hash = {md_ctx_new(), {md_ctx_free}};
  const auto fetch = [&](const char* name) {
    const Owned<EVP_MAC, decltype(::EVP_MAC_free)> fetched(mac_fetch(context.get(), name, nullptr),
                                                           {mac_free});
    return fetched ? mac_ctx_new(fetched.get()) : nullptr;
  };
  hmac = {fetch("HMAC"), {mac_ctx_free}};
  mac = {fetch("BLAKE2SMAC"), {mac_ctx_free}};
  if (!blake2s || !hash || !hmac || !mac) return no_blake2s;
  const std::array<std::uint8_t, 32> none{};
  std::array<char, 12> digest{"BLAKE2s-256"};
  const std::array hmac_params{param_text(OSSL_MAC_PARAM_DIGEST, digest.data(), 0), param_end()};
  std::size_t size = 16;
  const std::array mac_params{param_size(OSSL_MAC_PARAM_SIZE, &size), param_end()};
  if (digest_init(hash.get(), blake2s.get(), nullptr) != 1 ||
      mac_init(hmac.get(), none.data(), none.size(), hmac_params.data()) != 1 ||
      mac_init(mac.get(), none.data(), none.size(), mac_params.data()) != 1) {
    return no_blake2s;
  }
  return Done{};
}

void WipedKey::wipe(std::span<std::uint8_t> secret) {
  ::explicit_bzero(secret.data(), secret.size());
}

Crypto::Crypto(std::unique_ptr<Parts> parts) : parts_(std::move(parts)) {}
Crypto::~Crypto() = default;

Result<std::shared_ptr<const Crypto>> Crypto::load() {
  auto sodium = Library::open("libsodium.so.23", "libsodium23");
  if (!sodium) return Error{Errc::io, 0, sodium.error().where};
  auto libcrypto = Library::open("libcrypto.so.3", "libssl3");
  if (!libcrypto) return Error{Errc::io, 0, libcrypto.error().where};
  auto parts = std::make_unique<Parts>(std::move(*sodium), std::move(*libcrypto));
  if (auto found = parts->find_all(); !found) return found.error();
  if (auto made = parts->make_contexts(); !made) return made.error();
  return std::shared_ptr<const Crypto>(new Crypto(std::move(parts)));
}

PublicKey Crypto::public_key_of(Key private_key) const {
  PublicKey key;
  (void)parts_->scalarmult_base(key.bytes.data(), private_key.data());
  return key;
}

bool Crypto::x25519(Key private_key, Key point, KeyInto into) const {
  return parts_->scalarmult(into.data(), private_key.data(), point.data()) == 0;
}

void Crypto::seal(Key key, std::uint64_t counter, Bytes additional, Bytes plain,
                  std::span<std::uint8_t> into) const {
  assert(into.size() >= plain.size() + tag_size);
  const auto nonce = nonce_of(counter);
  (void)parts_->chacha_encrypt(into.data(), nullptr, plain.data(), plain.size(), additional.data(),
                               additional.size(), nullptr, nonce.data(), key.data());
}

bool Crypto::open(Key key, std::uint64_t counter, Bytes additional, Bytes sealed,
                  std::span<std::uint8_t> into) const {
  assert(into.size() + tag_size >= sealed.size());
  const auto nonce = nonce_of(counter);
  return parts_->chacha_decrypt(into.data(), nullptr, nullptr, sealed.data(), sealed.size(),
                                additional.data(), additional.size(), nonce.data(),
                                key.data()) == 0;
}

void Crypto::seal(Key key, LongNonce nonce, Bytes additional, Bytes plain,
                  std::span<std::uint8_t> into) const {
  assert(into.size() >= plain.size() + tag_size);
  (void)parts_->xchacha_encrypt(into.data(), nullptr, plain.data(), plain.size(), additional.data(),
                                additional.size(), nullptr, nonce.data(), key.data());
}

bool Crypto::open(Key key, LongNonce nonce, Bytes additional, Bytes sealed,
                  std::span<std::uint8_t> into) const {
  assert(into.size() + tag_size >= sealed.size());
  return parts_->xchacha_decrypt(into.data(), nullptr, nullptr, sealed.data(), sealed.size(),
                                 additional.data(), additional.size(), nonce.data(),
                                 key.data()) == 0;
}

std::array<std::uint8_t, 32> Crypto::hash(std::initializer_list<Bytes> parts) const {
  std::array<std::uint8_t, 32> into;
  demand(parts_->digest_init(parts_->hash.get(), nullptr, nullptr));
  for (const auto part : parts) {
    demand(parts_->digest_update(parts_->hash.get(), part.data(), part.size()));
  }
  demand(parts_->digest_final(parts_->hash.get(), into.data(), nullptr));
  return into;
}

void Crypto::hmac(Key key, std::initializer_list<Bytes> parts, KeyInto into) const {
  demand(parts_->mac_init(parts_->hmac.get(), key.data(), key.size(), nullptr));
  parts_->finish_hmac(parts, into);
}

void Crypto::hmac_again(std::initializer_list<Bytes> parts, KeyInto into) const {
  demand(parts_->mac_init(parts_->hmac.get(), nullptr, 0, nullptr));
  parts_->finish_hmac(parts, into);
}

std::array<std::uint8_t, 16> Crypto::mac(Bytes key, Bytes message) const {
  std::array<std::uint8_t, 16> into;
  auto* const context = parts_->mac.get();
  demand(parts_->mac_init(context, key.data(), key.size(), nullptr));
  demand(parts_->mac_update(context, message.data(), message.size()));
  std::size_t size = 0;
  demand(parts_->mac_final(context, into.data(), &size, into.size()));
  return into;
}

Result<Done> Crypto::fill_random(std::span<std::uint8_t> into) const {
  assert(into.size() <= 256);  // so many come at once
  const auto got = ::getrandom(into.data(), into.size(), GRND_NONBLOCK);
  if (got == static_cast<ssize_t>(into.size())) return Done{};
  return Error{Errc::io, got < 0 ? errno : 0, "the system's random numbers"};
}

void Crypto::wipe_traces() const {
  // The last key would stay in the context.
  const std::array<std::uint8_t, 64> zeros{};
  (void)parts_->mac_init(parts_->hmac.get(), zeros.data(), 32, nullptr);
  parts_->stackzero(8192);
}

std::function<std::optional<PublicKey>(Key)> make_public_key_of() {
  const auto crypto = Crypto::load();
  if (!crypto) return nullptr;
  return [crypto = *crypto](Key private_key) -> std::optional<PublicKey> {
    const auto key = crypto->public_key_of(private_key);
    crypto->wipe_traces();
    return key;
  };
}

}  // namespace wgvitals::probe
