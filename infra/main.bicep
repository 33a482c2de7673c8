// Mailspan on Azure: one resource group with everything the function app needs. Deployed by `azd up`; see docs/deploy.md.
// Rules that hold here: no key and no connection string anywhere, only the app's own identity; no secret is a parameter or an
// output; what is kept (storage, vault) has no name that a second deployment could take.
targetScope = 'subscription'

@minLength(1)
@maxLength(32)
@description('Name of the azd environment; part of the names and the tag of every resource.')
param environmentName string

@minLength(1)
@description('Region of all resources; it must offer Flex Consumption.')
param location string

@description('Object id of who deploys: may write the secrets of set-up. Empty: nobody is given that right.')
param principalId string = ''

@allowed(['User', 'Group', 'ServicePrincipal'])
param principalType string = 'User'

@description('Address of the product on a domain of its own, as https://sync.example.com. Empty: what Azure gives.')
param publicUrl string = ''

@minLength(1)
@description('Microsoft Entra tenant whose mailboxes are connected.')
param microsoftTenant string

@description('Sign-in and Graph of the cloud in which the mailboxes are.')
param microsoftLogin string = 'https://login.microsoftonline.com'
param microsoftGraph string = 'https://graph.microsoft.com/v1.0'

@description('Sign-in of Salesforce; https://test.salesforce.com for sandboxes.')
param salesforceLogin string = 'https://login.salesforce.com'

@allowed(['yes', 'no'])
@description('yes: the external client app has a secret, kept in the vault as salesforce-client-secret.')
param salesforceHasSecret string = 'no'

@allowed(['yes', 'no'])
@description('yes: an org is connected as a whole; the key is kept in the vault as salesforce-jwt-key.')
param salesforceHasJwtKey string = 'no'

@allowed(['yes', 'no'])
@description('yes: the app stands in a virtual network of its own, for Exchange servers that are reached through it.')
param withNetwork string = 'no'

@description('Where alerts are mailed. Empty: they are only shown in the portal.')
param alertAddress string = ''

@minValue(40)
@maxValue(1000)
param maximumInstanceCount int = 100

var token = toLower(uniqueString(subscription().id, environmentName, location))
var tags = { 'azd-env-name': environmentName }

resource group 'Microsoft.Resources/resourceGroups@2024-03-01' = {
  name: 'rg-${environmentName}'
  location: location
  tags: tags
}

module identity 'modules/identity.bicep' = {
  name: 'identity'
  scope: group
  params: { name: 'id-mailspan-${token}', location: location, tags: tags }
}

module storage 'modules/storage.bicep' = {
  name: 'storage'
  scope: group
  params: {
    name: 'stmail${token}'
    location: location
    tags: tags
    appPrincipalId: identity.outputs.principalId
  }
}

module vault 'modules/vault.bicep' = {
  name: 'vault'
  scope: group
  params: {
    name: 'kv-mail-${token}'
    location: location
    tags: tags
    appPrincipalId: identity.outputs.principalId
    deployerPrincipalId: principalId
    deployerPrincipalType: principalType
  }
}

module monitoring 'modules/monitoring.bicep' = {
  name: 'monitoring'
  scope: group
  params: {
    token: token
    location: location
    tags: tags
    appPrincipalId: identity.outputs.principalId
    alertAddress: alertAddress
  }
}

module network 'modules/network.bicep' = if (withNetwork == 'yes') {
  name: 'network'
  scope: group
  params: { name: 'vnet-mailspan-${token}', location: location, tags: tags }
}

module app 'modules/app.bicep' = {
  name: 'app'
  scope: group
  params: {
    token: token
    location: location
    tags: union(tags, { 'azd-service-name': 'api' })
    identityId: identity.outputs.id
    identityClientId: identity.outputs.clientId
    storageName: storage.outputs.name
    blobEndpoint: storage.outputs.blobEndpoint
    queueEndpoint: storage.outputs.queueEndpoint
    tableEndpoint: storage.outputs.tableEndpoint
    deploymentContainer: storage.outputs.deploymentContainer
    vaultUri: vault.outputs.uri
    wrappingKeyUri: vault.outputs.wrappingKeyUri
    insightsConnection: monitoring.outputs.insightsConnection
    subnetId: withNetwork == 'yes' ? network.outputs.subnetId : ''
    mailspanTenant: take(token, 12)
    publicUrl: publicUrl
    microsoftTenant: microsoftTenant
    microsoftLogin: microsoftLogin
    microsoftGraph: microsoftGraph
    salesforceLogin: salesforceLogin
    salesforceHasSecret: salesforceHasSecret == 'yes'
    salesforceHasJwtKey: salesforceHasJwtKey == 'yes'
    maximumInstanceCount: maximumInstanceCount
  }
}

// What the hook reads; none of it is secret.
output AZURE_RESOURCE_GROUP string = group.name
output MAILSPAN_APP_ID string = app.outputs.id
output MAILSPAN_APP_NAME string = app.outputs.name
output MAILSPAN_ADDRESS string = app.outputs.publicUrl
output MAILSPAN_VAULT_NAME string = vault.outputs.name
