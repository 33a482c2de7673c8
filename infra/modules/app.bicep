// The function app on Flex Consumption. Every setting that shared/settings.py reads is set here or named in the test as local.
// Secrets are references into the vault: the value is read by the platform with the app's identity and is in no template.
param token string
param location string
param tags object
param identityId string
param identityClientId string
param storageName string
param blobEndpoint string
param queueEndpoint string
param tableEndpoint string
param deploymentContainer string
param vaultUri string
param wrappingKeyUri string
param insightsConnection string
param subnetId string
param mailspanTenant string
param publicUrl string
param microsoftTenant string
param microsoftLogin string
param microsoftGraph string
param salesforceLogin string
param salesforceHasSecret bool
param salesforceHasJwtKey bool
param maximumInstanceCount int

var secrets = '@Microsoft.KeyVault(SecretUri=${vaultUri}secrets/'
var address = empty(publicUrl) ? 'https://${site.properties.defaultHostName}' : publicUrl

resource plan 'Microsoft.Web/serverfarms@2024-04-01' = {
  name: 'plan-mailspan-${token}'
  location: location
  tags: tags
  kind: 'functionapp'
  sku: { name: 'FC1', tier: 'FlexConsumption' }
  properties: { reserved: true }
}

resource site 'Microsoft.Web/sites@2024-04-01' = {
  name: 'func-mailspan-${token}'
  location: location
  tags: tags
  kind: 'functionapp,linux'
  identity: {
    type: 'UserAssigned'
    userAssignedIdentities: { '${identityId}': {} }
  }
  properties: {
    serverFarmId: plan.id
    httpsOnly: true
    keyVaultReferenceIdentity: identityId
    virtualNetworkSubnetId: empty(subnetId) ? null : subnetId
    siteConfig: {
      minTlsVersion: '1.2'
      http20Enabled: true
    }
    functionAppConfig: {
      deployment: {
        storage: {
          type: 'blobContainer'
          value: '${blobEndpoint}${deploymentContainer}'
          authentication: {
            type: 'UserAssignedIdentity'
            userAssignedIdentityResourceId: identityId
          }
        }
      }
      runtime: { name: 'python', version: '3.13' }
      scaleAndConcurrency: {
        instanceMemoryMB: 2048
        maximumInstanceCount: maximumInstanceCount
        alwaysReady: [
          { name: 'http', instanceCount: 1 }
          { name: 'function:session', instanceCount: 1 }
        ]
      }
    }
  }
}

resource passwords 'Microsoft.Web/sites/basicPublishingCredentialsPolicies@2024-04-01' = [for door in ['ftp', 'scm']: {
  parent: site
  name: door
  properties: { allow: false }
}]

resource settings 'Microsoft.Web/sites/config@2024-04-01' = {
  parent: site
  name: 'appsettings'
  properties: {
    AzureWebJobsStorage__credential: 'managedidentity'
    AzureWebJobsStorage__clientId: identityClientId
    AzureWebJobsStorage__blobServiceUri: blobEndpoint
    AzureWebJobsStorage__queueServiceUri: queueEndpoint
    AzureWebJobsStorage__tableServiceUri: tableEndpoint
    APPLICATIONINSIGHTS_CONNECTION_STRING: insightsConnection
    APPLICATIONINSIGHTS_AUTHENTICATION_STRING: 'ClientId=${identityClientId};Authorization=AAD'
    // the identity that azure-identity takes for storage and the wrapping key
    AZURE_CLIENT_ID: identityClientId
    MAILSPAN_TENANT: mailspanTenant
    MAILSPAN_STORAGE: storageName
    MAILSPAN_VAULT: wrappingKeyUri
    MAILSPAN_PUBLIC_URL: address
    MAILSPAN_MICROSOFT_TENANT: microsoftTenant
    MAILSPAN_MICROSOFT_LOGIN: microsoftLogin
    MAILSPAN_MICROSOFT_GRAPH: microsoftGraph
    MAILSPAN_SALESFORCE_LOGIN: salesforceLogin
    MAILSPAN_INSTALL_SECRET: '${secrets}install-secret)'
    MAILSPAN_WEBHOOK_SECRETS: '${secrets}webhook-secrets)'
    MAILSPAN_SIGNING_KEY: '${secrets}signing-key)'
    MAILSPAN_MICROSOFT_CLIENT_ID: '${secrets}microsoft-client-id)'
    MAILSPAN_MICROSOFT_CLIENT_SECRET: '${secrets}microsoft-client-secret)'
    MAILSPAN_SALESFORCE_CLIENT_ID: '${secrets}salesforce-client-id)'
    MAILSPAN_SALESFORCE_CLIENT_SECRET: salesforceHasSecret ? '${secrets}salesforce-client-secret)' : ''
    MAILSPAN_SALESFORCE_JWT_KEY: salesforceHasJwtKey ? '${secrets}salesforce-jwt-key)' : ''
  }
}

output id string = site.id
output name string = site.name
output publicUrl string = address
